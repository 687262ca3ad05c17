// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "base/units.h"

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <sys/types.h>
#include <utility>

namespace dmsnap {

/// An open file or block device and the one owner of its descriptor, closed on exec.
class File {
public:
    /// `flags` as for open(2). Throws Error.
    static File open(const std::filesystem::path& path, int flags);
    /// The same for `name` in an open folder; a file that has to be made gets `mode`.
    static File open_in(const File& folder, const std::string& name, int flags, mode_t mode);
    File(File&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}
    File& operator=(File&&) = delete;
    ~File();

    int fd() const { return fd_; }
    const std::filesystem::path& path() const { return path_; }
    /// Fills `buffer` as far as the file goes; the length read. Throws Error.
    std::size_t read_at(Bytes position, std::span<std::byte> buffer) const;
    /// Writes all of it. Throws Error.
    void write_at(Bytes position, std::span<const std::byte> bytes) const;
    /// Throws Error unless what was written is on stable storage.
    void sync() const;
    /// Of a block device: what was read of it before is read from it anew.
    void forget_read() const;

private:
    File(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}

    std::filesystem::path path_;
    int fd_;
};

/// The first line of a small file of sysfs or proc; empty if it has none or is not there.
std::string first_line(const std::filesystem::path& path);

} // namespace dmsnap
