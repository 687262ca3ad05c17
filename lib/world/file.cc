// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world/file.h"

#include "base/error.h"

#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace dmsnap {

File File::open(const std::filesystem::path& path, int flags)
{
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
    if (fd < 0)
        throw Error(path, "open", errno);
    return File(path, fd);
}

File File::open_in(const File& folder, const std::string& name, int flags, mode_t mode)
{
    const std::filesystem::path path = folder.path_ / name;
    const int fd = openat(folder.fd_, name.c_str(), flags | O_CLOEXEC, mode);
    if (fd < 0)
        throw Error(path, "open", errno);
    return File(path, fd);
}

File::~File()
{
    if (fd_ >= 0)
        close(fd_);
}

std::size_t File::read_at(Bytes position, std::span<std::byte> buffer) const
{
    std::size_t done = 0;
    while (done < buffer.size()) {
        const ssize_t length =
            pread(fd_, buffer.data() + done, buffer.size() - done, static_cast<off_t>(position.count + done));
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0)
            throw Error(path_, "read", errno);
        if (length == 0)
            break;
        done += static_cast<std::size_t>(length);
    }
    return done;
}

void File::write_at(Bytes position, std::span<const std::byte> bytes) const
{
    std::size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t length =
            pwrite(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(position.count + done));
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0)
            throw Error(path_, "write", errno);
        done += static_cast<std::size_t>(length);
    }
}

void File::forget_read() const { ioctl(fd_, BLKFLSBUF, 0); }

void File::sync() const
{
    if (fsync(fd_) != 0)
        throw Error(path_, "write to stable storage", errno);
}

std::string first_line(const std::filesystem::path& path)
{
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

} // namespace dmsnap
