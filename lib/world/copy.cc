// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
//   from   | head |------ middle: one block read while the one before is written ------| tail |
//             | 3                            | 1                                       | 2
//   to     |zeros |--------------------------------------------------------------------|zeros | ... |zeros|
#include "world/copy.h"

#include "base/error.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <future>
#include <linux/fs.h>
#include <memory>
#include <new>
#include <span>
#include <sys/ioctl.h>
#include <utility>

namespace dmsnap {
namespace {

constexpr Bytes block{4 << 20};

/// Fit for O_DIRECT on any device.
class Buffer {
public:
    Buffer() : bytes_(static_cast<std::byte*>(std::aligned_alloc(alignment, block.count)))
    {
        if (!bytes_)
            throw std::bad_alloc();
    }
    std::span<std::byte> first(std::uint64_t length) { return {bytes_.get(), length}; }

private:
    static constexpr std::size_t alignment = 1 << 16; // the largest page there is

    struct Free {
        void operator()(std::byte* bytes) const { std::free(bytes); }
    };
    std::unique_ptr<std::byte, Free> bytes_;
};

Bytes size_of(const File& device)
{
    std::uint64_t size = 0;
    if (ioctl(device.fd(), BLKGETSIZE64, &size) != 0)
        throw Error(device.path(), "tell its size", errno);
    return {size};
}

void zero(const File& device, std::uint64_t from, std::uint64_t to)
{
    Buffer zeros;
    const auto bytes = zeros.first(to - from);
    std::fill(bytes.begin(), bytes.end(), std::byte{0});
    device.write_at({from}, bytes);
}

void read_all(const File& device, std::uint64_t position, std::span<std::byte> bytes)
{
    if (device.read_at({position}, bytes) < bytes.size())
        throw Error(device.path(), "read", "it has become shorter");
}

/// One part after the other, each read while the one before is written.
class Copy {
public:
    Copy(const File& from, const File& to, const std::function<void(Bytes done)>& progress)
        : from_(from), to_(to), progress_(progress)
    {
    }

    void run(std::uint64_t begin, std::uint64_t end)
    {
        if (begin == end)
            return;
        const auto length_at = [&](std::uint64_t position) { return std::min(block.count, end - position); };
        read_all(from_, begin, here_.first(length_at(begin)));
        for (std::uint64_t position = begin; position < end;) {
            progress_({done_});
            const std::uint64_t length = length_at(position);
            const std::uint64_t next = position + length;
            std::future<void> reading;
            if (next < end) // where there is no room for a thread, it is read when it is asked for
                reading = std::async(std::launch::async | std::launch::deferred,
                    [&, next] { read_all(from_, next, ahead_.first(length_at(next))); });
            to_.write_at({position}, here_.first(length));
            if (reading.valid())
                reading.get();
            std::swap(here_, ahead_);
            position = next;
            done_ += length;
        }
    }

private:
    const File& from_;
    const File& to_;
    const std::function<void(Bytes done)>& progress_;
    Buffer here_;
    Buffer ahead_;
    std::uint64_t done_ = 0;
};

} // namespace

void blank_ends(const File& device, Bytes length, Bytes end)
{
    const std::uint64_t size = size_of(device).count;
    const std::uint64_t all = length.count != 0 ? length.count : size;
    const std::uint64_t either = std::min(end.count != 0 ? end.count : copied_last.count, all);
    zero(device, 0, std::min(either, size));
    device.sync();
    if (all - either < size)
        zero(device, all - either, std::min(all, size));
    device.sync();
}

void copy_device(const File& from, const File& to, Bytes length, const std::function<void(Bytes done)>& progress)
{
    const std::uint64_t size = size_of(to).count;
    if (size < length.count)
        throw Error(to.path(), "copy to it", "it is shorter than what is to be copied");
    progress({0});
    const std::uint64_t head = std::min(copied_last.count, length.count);
    const std::uint64_t tail = std::max(head, length.count - head);
    blank_ends(to);
    Copy copy(from, to, progress);
    copy.run(head, tail);
    to.sync();
    copy.run(tail, length.count);
    to.sync();
    copy.run(0, head);
    to.sync();
}

} // namespace dmsnap
