// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "dm/cookie.h"

#include "base/error.h"

#include <cerrno>
#include <libdevmapper.h>
#include <random>
#include <sys/ipc.h>
#include <sys/sem.h>

namespace dmsnap {
namespace {

// What libdevmapper makes of a cookie: the key of a System V semaphore, marked in its upper half; one is its maker's.
constexpr std::uint32_t mark = static_cast<std::uint32_t>(DM_COOKIE_MAGIC) << DM_UDEV_FLAGS_SHIFT;
constexpr std::uint32_t mark_mask = ~std::uint32_t{0} << DM_UDEV_FLAGS_SHIFT;

/// semctl() takes its fourth argument in a union that the caller has to declare.
union SemaphoreValue {
    int val;
};

int find(std::uint32_t cookie) { return semget(static_cast<key_t>(cookie), 1, 0); }

} // namespace

std::uint32_t free_cookie()
{
    std::random_device random;
    for (;;) {
        const std::uint32_t low = random() & ~mark_mask;
        if (low != 0 && find(mark | low) < 0 && errno == ENOENT)
            return mark | low;
    }
}

void make_cookie(std::uint32_t cookie)
{
    const int id = semget(static_cast<key_t>(cookie), 1, IPC_CREAT | IPC_EXCL | 0600);
    if (id < 0)
        throw Error("udev", "make a cookie", errno,
            errno == ENOSPC ? "dmsetup udevcomplete_all, if it shows old ones: ipcs -s" : "");
    SemaphoreValue one{};
    one.val = 1;
    if (semctl(id, 0, SETVAL, one) < 0) {
        const int number = errno;
        semctl(id, 0, IPC_RMID);
        throw Error("udev", "make a cookie", number);
    }
}

void end_cookie(std::uint32_t cookie)
{
    if ((cookie & mark_mask) != mark)
        return; // no cookie: nothing is removed on a damaged note's word
    if (const int id = find(cookie); id >= 0)
        semctl(id, 0, IPC_RMID);
}

} // namespace dmsnap
