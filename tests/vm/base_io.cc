// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// What is asked of a live device is asked of the disk below it as before: in one piece, with its flushes, without more
// copies than chunks.
#include "base/text.h"
#include "catch.h"
#include "command.h"
#include "disk.h"
#include "environment.h"
#include "kinds.h"
#include "origin.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <stdexcept>
#include <sys/uio.h>
#include <unistd.h>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

/// What the disk itself has counted: Documentation/block/stat.rst.
struct DiskCounts {
    std::uint64_t writes;
    std::uint64_t flushes;
};

std::ostream& operator<<(std::ostream& out, const DiskCounts& counts)
{
    return out << counts.writes << " writes, " << counts.flushes << " flushes";
}

DiskCounts counts(const std::string& disk)
{
    const std::string stat = must({"cat", "/sys/block/" + disk.substr(disk.rfind('/') + 1) + "/stat"});
    const auto fields = words(stat);
    return {parse_u64(fields.at(4)).value(), parse_u64(fields.at(15)).value()};
}

/// The live device, open for direct writes.
class Direct {
public:
    explicit Direct(const std::string& path, int flags = 0) : fd_(open(path.c_str(), O_WRONLY | O_DIRECT | flags))
    {
        if (fd_ < 0)
            throw std::runtime_error(fmt::format("{}: {}", path, std::strerror(errno)));
    }
    ~Direct() { close(fd_); }
    Direct(const Direct&) = delete;
    Direct& operator=(const Direct&) = delete;

    /// 0 or an errno value.
    int write(Bytes position, std::span<std::byte> bytes, int flags = 0) const
    {
        const iovec piece{bytes.data(), bytes.size()};
        const ssize_t written = pwritev2(fd_, &piece, 1, static_cast<off_t>(position.count), flags);
        if (written < 0)
            return errno;
        return written == static_cast<ssize_t>(bytes.size()) ? 0 : EIO;
    }
    void flush() const
    {
        if (fsync(fd_) != 0)
            throw std::runtime_error(fmt::format("fsync: {}", std::strerror(errno)));
    }

private:
    int fd_;
};

/// As many writes, and flushes that only the disk's own queue may have merged, which takes those together that wait at the
/// same time: one for the write that is durable when it ends, and one for the flush after it, there are always.
void check_costs_no_more(const DiskCounts& counts, const DiskCounts& bare)
{
    INFO(counts << " instead of " << bare);
    CHECK(counts.writes == bare.writes);
    CHECK(counts.flushes <= bare.flushes);
    CHECK(counts.flushes >= 2);
}

/// What the disk counts for a write of 1 MiB at `position`, one of 4 KiB that is durable when it ends, and a flush.
DiskCounts cost(const Origin& origin, Bytes position, Buffer& buffer)
{
    const DiskCounts before = counts(origin_disk());
    const Direct direct(origin.path());
    REQUIRE(direct.write(position, buffer.span()) == 0);
    REQUIRE(Direct(origin.path(), O_DSYNC).write({position.count + (1 << 20)}, buffer.first(4_KiB)) == 0);
    direct.flush();
    const DiskCounts after = counts(origin_disk());
    return {after.writes - before.writes, after.flushes - before.flushes};
}

} // namespace

TEST_CASE("a write reaches the disk in one piece and with its flush", "[base-io]")
{
    Random random;
    const auto origin = origin_under_test(64_MiB);
    Buffer buffer(1_MiB);
    buffer.fill(random);
    const DiskCounts bare = cost(*origin, 2_MiB, buffer);
    REQUIRE(bare.flushes > 0);
    tool(origin->attaching({"attach", "--chunksize", "4k"}));
    check_costs_no_more(cost(*origin, 2_MiB, buffer), bare);
    tool({"create", "-n", "s1", "--store", store_disk(), origin->device()});
    check_costs_no_more(cost(*origin, 2_MiB, buffer), bare); // each of its chunks is copied first
    check_costs_no_more(cost(*origin, 2_MiB, buffer), bare);
    CHECK(origin->status().copied_chunks >= 257);
}

TEST_CASE("snapshots share one copy of what is overwritten", "[base-io]")
{
    const auto origin = origin_under_test(64_MiB);
    Buffer buffer(4_KiB);
    std::fill(buffer.span().begin(), buffer.span().end(), std::byte{0x5a});
    tool(origin->attaching({"create", "-n", "s1", "--store", store_disk()}));
    tool({"create", "-n", "s2", origin->device()});
    tool({"create", "-n", "s3", origin->device()});
    const std::uint64_t before = origin->status().copied_chunks;
    const Direct direct(origin->path());
    for (int i = 0; i < 3; ++i)
        REQUIRE(direct.write(4_MiB, buffer.span()) == 0);
    CHECK(origin->status().copied_chunks == before + 1);
    tool({"create", "-n", "s4", origin->device()});
    REQUIRE(direct.write(4_MiB, buffer.span()) == 0);
    CHECK(origin->status().copied_chunks == before + 2);
}

TEST_CASE("a write that may not wait is done or refused, and kept like any other", "[base-io]")
{
    Random random;
    const auto origin = origin_under_test(64_MiB);
    Disk(origin->path()).fill(random);
    copy(origin->path(), the_copy(), origin->size());
    tool(origin->attaching({"create", "-n", "s1", "--store", store_disk()}));
    Buffer buffer(4_KiB);
    buffer.fill(random);
    Buffer found(4_KiB);
    const Direct direct(origin->path());
    unsigned done = 0;
    for (unsigned i = 0; i < 200; ++i) {
        const Bytes position{random.below(64) * 4096};
        const int error = direct.write(position, buffer.span(), RWF_NOWAIT);
        INFO("write " << i << " at " << position.count << ": " << std::strerror(error));
        REQUIRE((error == 0 || error == EAGAIN));
        if (error != 0)
            continue;
        ++done;
        Disk(origin->path()).read(position, found.span());
        REQUIRE(std::equal(found.span().begin(), found.span().end(), buffer.span().begin()));
    }
    CHECK(done > 0);
    CHECK(differences(origin->image("s1"), the_copy(), origin->size(), 16_KiB, Cached::no) == "");
}
