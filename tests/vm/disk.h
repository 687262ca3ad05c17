// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Block devices as bytes: written to, copied, compared.
#pragma once

#include "base/units.h"
#include "environment.h"
#include "world/file.h"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
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
    void discard(Bytes position, Bytes length) const;
    void zero_out(Bytes position, Bytes length) const;
    void fill(Random& random) const;

private:
    std::string path_;
    File file_;
};

/// Copies `length` bytes from the start of one device to the start of the other.
void copy(const std::string& from, const std::string& to, Bytes length);

/// Which chunks of two devices differ, as "chunks 3, 17 and 5 more"; empty if none do.
std::string differences(const std::string& a, const std::string& b, Bytes length, Bytes chunk, Cached cached);

/// Makes the kernel forget what it has read.
void drop_caches();

} // namespace dmsnap::test
