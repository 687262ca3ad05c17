// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "machine/global_lock.h"

#include "base/error.h"
#include "base/text.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace dmsnap {
namespace {

constexpr const char* locking = "lock with it";
constexpr const char* next_step = "see with ls -ld who made it, and remove it when no dmsnap runs";

/// Throws unless the file is of the kind, and nobody but our user can do `what` bits of its mode say.
void require_ours(const File& file, mode_t kind, mode_t forbidden)
{
    const auto refuse = [&](const char* reason) { throw Error(file.path(), locking, reason, next_step); };
    struct stat facts = {};
    if (fstat(file.fd(), &facts) != 0)
        throw Error(file.path(), locking, errno, next_step);
    if ((facts.st_mode & S_IFMT) != kind)
        refuse(kind == S_IFDIR ? "it is no folder" : "it is no regular file");
    if (facts.st_uid != geteuid())
        refuse("it belongs to another user");
    if ((facts.st_mode & forbidden) != 0)
        refuse("other users have access to it");
}

File open_lock(const std::filesystem::path& path)
{
    std::error_code ignored; // open() says it better
    std::filesystem::create_directories(path.parent_path(), ignored);
    mkdir(path.c_str(), S_IRWXU);
    try {
        const File folder = File::open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        require_ours(folder, S_IFDIR, S_IWGRP | S_IWOTH);
        // From here on nobody else can put anything in its place.
        File file = File::open_in(folder, "global", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, S_IRUSR | S_IWUSR);
        require_ours(file, S_IFREG, S_IRWXG | S_IRWXO);
        return file;
    } catch (const Error& error) {
        throw(error.number() != 0 ? Error(error.subject(), locking, error.number(), next_step) : error)
            .as(Fault::cannot_start);
    }
}

std::optional<std::uint32_t> read_note(const File& file)
{
    std::array<std::byte, 32> bytes{};
    const std::size_t length = file.read_at({0}, bytes);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), length);
    return parse_u32(text.substr(0, text.find('\n')));
}

} // namespace

GlobalLock::GlobalLock(const std::function<void(const std::string& line)>& waiting, const std::filesystem::path& folder)
    : file_(open_lock(folder))
{
    if (flock(file_.fd(), LOCK_EX | LOCK_NB) != 0) {
        if (waiting)
            waiting("waiting for another dmsnap to end");
        while (flock(file_.fd(), LOCK_EX) != 0)
            if (errno != EINTR)
                throw Error(file_.path(), "take the lock", errno).as(Fault::cannot_start);
    }
    if (const auto cookie = read_note(file_)) {
        end_cookie(*cookie);
        write(std::nullopt);
    }
}

void GlobalLock::write(std::optional<std::uint32_t> cookie)
{
    const std::string text = cookie ? std::to_string(*cookie) + "\n" : std::string();
    if (ftruncate(file_.fd(), 0) != 0 ||
        pwrite(file_.fd(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
        throw Error(file_.path(), "note the udev cookie", errno != 0 ? errno : EIO);
}

} // namespace dmsnap
