// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Block devices as bytes: written to, copied, compared.
#pragma once

#include "base/units.h"
#include "environment.h"
#include "world/file.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dmsnap::test {

/// Memory fit for direct I/O.
class Buffer {
public:
    explicit Buffer(Bytes size);
    std::span<std::byte> span() { return {bytes_.get(), size_}; }
    std::span<std::byte> first(Bytes length) { return span().first(length.count); }
    void fill(Random& random);

private:
    struct Free {
        void operator()(std::byte* bytes) const;
    };
    std::unique_ptr<std::byte, Free> bytes_;
    std::size_t size_;
};

enum class Cached { yes, no };

/// An open block device. All methods throw Error.
class Disk {
public:
    explicit Disk(const std::string& path, Cached cached = Cached::no);

    Bytes size() const;
    Bytes sector() const;
    void read(Bytes position, std::span<std::byte> bytes) const;
    void write(Bytes position, std::span<const std::byte> bytes) const { file_.write_at(position, bytes); }
    /// False if the device takes no discards.
    bool discard(Bytes position, Bytes length) const;
    void zero_out(Bytes position, Bytes length) const;
    void fill(Random& random) const;

private:
    std::string path_;
    File file_;
};

/// Where on a device something begins. A copy of a filesystem is kept away from a disk's start: there the machine
/// would take it for the filesystem.
struct Place {
    Place(std::string at) : path(std::move(at)) {} // all of a device
    Place(std::string at, Bytes from) : path(std::move(at)), start(from) {}
    std::string path;
    Bytes start;
};

/// Where tests keep the copy that an image is compared with.
inline Place the_copy() { return {spare_disk(), Bytes{1 << 20}}; }

void copy(const Place& from, const Place& to, Bytes length);

/// Which chunks differ, counted from both places, in words; empty if none do.
std::string differences(const Place& a, const Place& b, Bytes length, Bytes chunk, Cached cached);

/// Calls `visit` with the number of every chunk that differs.
void for_each_difference(const Place& a, const Place& b, Bytes length, Bytes chunk, Cached cached,
    const std::function<void(std::uint64_t)>& visit);

/// "chunks 3, 17 and 5 more"; empty for none.
std::string describe_chunks(const std::vector<std::uint64_t>& chunks);

/// The errno value that reading the first block of a device past the cache ends with; 0 if it can be read.
int error_of_reading(const std::string& path);

/// Makes the kernel forget what it has read.
void drop_caches();

} // namespace dmsnap::test
