// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "disk.h"

#include "base/error.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <linux/fs.h>
#include <new>
#include <sys/ioctl.h>
#include <unistd.h>

namespace dmsnap::test {
namespace {

using namespace dmsnap::literals;

constexpr Bytes block = 1_MiB;
constexpr std::size_t alignment = 4096;

File open_disk(const std::string& path, Cached cached)
{
    const int direct = cached == Cached::no ? O_DIRECT : 0;
    try {
        return File::open(path, O_RDWR | direct);
    } catch (const Error& error) {
        if (error.number() != EACCES && error.number() != EROFS && error.number() != EPERM)
            throw;
        return File::open(path, O_RDONLY | direct); // an image
    }
}

/// Calls `visit(position, length)` for block after block.
template <typename Visit> void for_each_block(Bytes length, Visit visit)
{
    for (std::uint64_t at = 0; at < length.count; at += block.count)
        visit(Bytes{at}, Bytes{std::min(block.count, length.count - at)});
}

} // namespace

void Buffer::Free::operator()(std::byte* bytes) const { std::free(bytes); }

Buffer::Buffer(Bytes size)
    : bytes_(static_cast<std::byte*>(std::aligned_alloc(alignment, size.count))), size_(size.count)
{
    if (!bytes_)
        throw std::bad_alloc();
}

void Buffer::fill(Random& random)
{
    for (std::size_t at = 0; at + sizeof(std::uint64_t) <= size_; at += sizeof(std::uint64_t)) {
        const std::uint64_t value = random.next();
        std::memcpy(bytes_.get() + at, &value, sizeof(value));
    }
}

Disk::Disk(const std::string& path, Cached cached) : path_(path), file_(open_disk(path, cached)) {}

Bytes Disk::size() const
{
    std::uint64_t size = 0;
    if (ioctl(file_.fd(), BLKGETSIZE64, &size) != 0)
        throw Error(path_, "read its size", errno);
    return {size};
}

Bytes Disk::sector() const
{
    int sector = 0;
    if (ioctl(file_.fd(), BLKSSZGET, &sector) != 0)
        throw Error(path_, "read its sector size", errno);
    return {static_cast<std::uint64_t>(sector)};
}

void Disk::read(Bytes position, std::span<std::byte> bytes) const
{
    if (file_.read_at(position, bytes) != bytes.size())
        throw Error(path_, "read", fmt::format("{} bytes at {} reach beyond its end", bytes.size(), position.count));
}

bool Disk::discard(Bytes position, Bytes length) const
{
    std::array<std::uint64_t, 2> range = {position.count, length.count};
    if (ioctl(file_.fd(), BLKDISCARD, range.data()) == 0)
        return true;
    if (errno != EOPNOTSUPP)
        throw Error(path_, "discard", errno);
    return false;
}

void Disk::zero_out(Bytes position, Bytes length) const
{
    std::array<std::uint64_t, 2> range = {position.count, length.count};
    if (ioctl(file_.fd(), BLKZEROOUT, range.data()) != 0)
        throw Error(path_, "write zeroes", errno);
}

void Disk::fill(Random& random) const
{
    Buffer buffer(block);
    buffer.fill(random);
    for_each_block(size(), [&](Bytes position, Bytes length) {
        // Random once, made different in every sector: random numbers for all of it would take longer than writing.
        for (std::size_t at = 0; at < length.count; at += 512) {
            const std::uint64_t stamp = random.seed() ^ (position.count + at);
            std::memcpy(buffer.span().data() + at, &stamp, sizeof(stamp));
        }
        write(position, buffer.first(length));
    });
}

void copy(const Place& from, const Place& to, Bytes length)
{
    const Disk source(from.path);
    const Disk target(to.path);
    Buffer buffer(block);
    for_each_block(length, [&](Bytes position, Bytes part) {
        source.read({from.start.count + position.count}, buffer.first(part));
        target.write({to.start.count + position.count}, buffer.first(part));
    });
}

void for_each_difference(const Place& a, const Place& b, Bytes length, Bytes chunk, Cached cached,
    const std::function<void(std::uint64_t)>& visit)
{
    const Disk left(a.path, cached);
    const Disk right(b.path, cached);
    Buffer of_left(block);
    Buffer of_right(block);
    for_each_block(length, [&](Bytes position, Bytes part) {
        left.read({a.start.count + position.count}, of_left.first(part));
        right.read({b.start.count + position.count}, of_right.first(part));
        for (std::uint64_t at = 0; at < part.count; at += chunk.count) {
            const std::size_t size = std::min(chunk.count, part.count - at);
            if (std::memcmp(of_left.span().data() + at, of_right.span().data() + at, size) != 0)
                visit((position.count + at) / chunk.count);
        }
    });
}

std::string describe_chunks(const std::vector<std::uint64_t>& chunks)
{
    constexpr std::size_t named_max = 20;
    if (chunks.empty())
        return {};
    const std::vector<std::uint64_t> named(
        chunks.begin(), chunks.begin() + std::min<long>(named_max, std::ssize(chunks)));
    return fmt::format("chunks {} and {} more", fmt::join(named, ", "), chunks.size() - named.size());
}

std::string differences(const Place& a, const Place& b, Bytes length, Bytes chunk, Cached cached)
{
    std::vector<std::uint64_t> chunks;
    for_each_difference(a, b, length, chunk, cached, [&](std::uint64_t i) { chunks.push_back(i); });
    return describe_chunks(chunks);
}

int error_of_reading(const std::string& path)
{
    try {
        Buffer buffer(4_KiB);
        Disk(path).read({0}, buffer.span());
    } catch (const Error& error) {
        return error.number();
    }
    return 0;
}

void drop_caches()
{
    sync();
    std::ofstream file("/proc/sys/vm/drop_caches");
    file << "3\n";
    if (!file.flush())
        throw Error("/proc/sys/vm/drop_caches", "write", EIO);
}

} // namespace dmsnap::test
