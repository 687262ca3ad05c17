// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "machine/global_lock.h"

#include "base/error.h"
#include "base/text.h"
#include "world/file.h"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <unistd.h>

namespace dmsnap {
namespace {

constexpr const char* lock_folder = "/run/lock/dmsnap";
constexpr const char* lock_file = "/run/lock/dmsnap/global";

int open_lock()
{
    std::error_code ignored; // open() says it better
    std::filesystem::create_directories(lock_folder, ignored);
    const int fd = open(lock_file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        throw Error(lock_file, "open the lock", errno).as(Fault::cannot_start);
    return fd;
}

} // namespace

GlobalLock::GlobalLock(const std::function<void(const std::string& line)>& waiting) : fd_(open_lock())
{
    if (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
        if (waiting)
            waiting("waiting for another dmsnap to end");
        while (flock(fd_, LOCK_EX) != 0)
            if (errno != EINTR) {
                const int number = errno;
                close(fd_);
                throw Error(lock_file, "take the lock", number).as(Fault::cannot_start);
            }
    }
    if (const auto cookie = parse_u32(first_line(lock_file))) {
        end_cookie(*cookie);
        write(std::nullopt);
    }
}

GlobalLock::~GlobalLock() { close(fd_); }

void GlobalLock::write(std::optional<std::uint32_t> cookie)
{
    const std::string text = cookie ? std::to_string(*cookie) + "\n" : std::string();
    if (ftruncate(fd_, 0) != 0 || pwrite(fd_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
        throw Error(lock_file, "note the udev cookie", errno != 0 ? errno : EIO);
}

} // namespace dmsnap
