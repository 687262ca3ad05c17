// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "machine/lvm_lock.h"

#include "base/error.h"
#include "base/names.h"
#include "base/text.h"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace dmsnap {
namespace {

constexpr std::chrono::milliseconds pause{20};

/// Whether a file is still what its path leads to: whoever ends a lock unlinks its file.
bool is_linked(int fd, const std::string& path)
{
    struct stat by_fd = {};
    struct stat by_path = {};
    return fstat(fd, &by_fd) == 0 && stat(path.c_str(), &by_path) == 0 && by_fd.st_dev == by_path.st_dev &&
           by_fd.st_ino == by_path.st_ino;
}

/// The locked file, or -1 while somebody else has it.
int try_lock(const std::string& path)
{
    const int fd = open(path.c_str(), O_CREAT | O_APPEND | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        throw Error(path, "open LVM's lock", errno, "ls -ld, which shows whose it is");
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_linked(fd, path))
        return fd;
    const int number = errno;
    close(fd);
    if (number != EWOULDBLOCK && number != EINTR && number != 0 && number != ENOENT)
        throw Error(path, "take LVM's lock", number);
    return -1;
}

void unlock(const std::string& path, int fd)
{
    // Nobody waits for a file that nobody can find: the others look again.
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_linked(fd, path))
        unlink(path.c_str());
    close(fd);
}

/// Tries until the deadline.
class Waiting {
public:
    Waiting(
        const std::string& group, const std::function<void(const std::string& line)>& say, const LvmLock::Terms& terms)
        : group_(group), say_(say), terms_(terms), begin_(std::chrono::steady_clock::now())
    {
    }

    int lock(const std::string& path)
    {
        for (;;) {
            errno = 0;
            if (const int fd = try_lock(path); fd >= 0)
                return fd;
            pause_once();
        }
    }

private:
    void pause_once()
    {
        const auto waited = std::chrono::steady_clock::now() - begin_;
        if (waited >= terms_.give_up)
            throw Error("volume group " + printable(group_), "lock it",
                fmt::format(
                    "LVM has been at work on it for {:g} s", std::chrono::duration<double>(terms_.give_up).count()),
                "again when LVM is done; fuser -v /run/lock/lvm/* shows who it is");
        if (waited >= terms_.say_so && !std::exchange(said_, true) && say_)
            say_("waiting for LVM, which is at work on volume group " + printable(group_));
        std::this_thread::sleep_for(pause);
    }

    const std::string& group_;
    const std::function<void(const std::string& line)>& say_;
    const LvmLock::Terms& terms_;
    std::chrono::steady_clock::time_point begin_;
    bool said_ = false;
};

} // namespace

LvmLock::LvmLock(
    const std::string& volume_group, const std::function<void(const std::string& line)>& waiting, const Terms& terms)
    : path_((terms.folder / ("V_" + volume_group)).string())
{
    std::error_code ignored; // open() says it better
    std::filesystem::create_directories(terms.folder, ignored);
    Waiting turn(volume_group, waiting, terms);
    // Who wants to write queues here first, so that those who read cannot keep him out for ever.
    const std::string queue = path_ + ":aux";
    const int place = turn.lock(queue);
    try {
        fd_ = turn.lock(path_);
    } catch (const Error&) {
        unlock(queue, place);
        throw;
    }
    unlock(queue, place);
}

LvmLock::LvmLock(LvmLock&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

LvmLock::~LvmLock()
{
    if (fd_ >= 0)
        unlock(path_, fd_);
}

std::optional<std::string> volume_group_of(const std::string& dm_name, const std::string& dm_uuid)
{
    if (!dm_uuid.starts_with("LVM-"))
        return std::nullopt;
    const auto name = split_lvm_name(dm_name);
    return name ? std::optional(name->group) : std::nullopt;
}

} // namespace dmsnap
