// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// `dmsnap changed` against what the test itself passed down, chunk for chunk.
#include "base/text.h"
#include "catch.h"
#include "changes.h"
#include "command.h"
#include "disk.h"
#include "dm-interpose.h"
#include "dm_ioctl.h"
#include "environment.h"
#include "kinds.h"
#include "origin.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

constexpr Bytes origin_size = 96_MiB;

struct Parameters {
    std::string chunk; ///< as typed; empty: the default
    Bytes bytes;
};

/// A device that is attached, written to at random, and knows what `dmsnap changed` must say.
class Tracked {
public:
    Tracked(std::unique_ptr<Origin> origin, const Parameters& chunk)
        : origin_(std::move(origin)), disk_(origin_->path()), changes_(origin_->size(), chunk.bytes)
    {
        Arguments attach = {"attach"};
        if (!chunk.chunk.empty())
            attach.insert(attach.end(), {"--chunksize", chunk.chunk});
        discards_ = disk_.discard({0}, disk_.sector());
        tool(origin_->attaching(attach));
    }

    const Origin& origin() const { return *origin_; }
    const Disk& disk() const { return disk_; }
    Changes& changes() { return changes_; }
    Random& random() { return random_; }
    /// Whether it takes discards, as it did before it was attached.
    bool discards() const { return discards_; }

    void write_some()
    {
        for (std::uint64_t left = random_.between(1, 6); left > 0; --left)
            changes_.note(write_at_random(disk_, random_, discards_));
    }
    void checkpoint(const std::string& name)
    {
        tool({"checkpoint", "-n", name, origin_->device()});
        changes_.take(name);
    }
    void remove(const std::string& name)
    {
        tool({"remove", name});
        changes_.remove(name);
    }
    /// The chunks between two points are those that were written to, and no others.
    void compare(const std::string& since, const std::string& until)
    {
        INFO("since " << since << " until " << (until.empty() ? "now" : until));
        CHECK(changes_.difference(since, until, changed(*origin_, since, until)) == "");
    }

private:
    Random random_;
    std::unique_ptr<Origin> origin_;
    Disk disk_;
    Changes changes_;
    bool discards_ = false;
};

/// Rounds of writes with a point after each; compared are the last epoch, and now and then any two points, and a
/// point and now.
void run_rounds(Tracked& tracked, std::uint64_t count)
{
    tracked.checkpoint("p0");
    for (std::uint64_t i = 1; i <= count; ++i) {
        tracked.write_some();
        if (i % 4 == 0)
            tracked.compare(fmt::format("p{}", tracked.random().below(i)), "");
        tracked.checkpoint(fmt::format("p{}", i));
        tracked.compare(fmt::format("p{}", i - 1), fmt::format("p{}", i));
        if (i % 8 == 0)
            tracked.compare(fmt::format("p{}", tracked.random().below(i)), fmt::format("p{}", i));
    }
}

} // namespace

TEST_CASE("changed says what was written", "[show3]")
{
    const Parameters chunk = GENERATE(
        Parameters{"4k", 4_KiB}, Parameters{"", Bytes{INTERPOSE_CHUNK_SECTORS_DEFAULT * 512}}, Parameters{"1m", 1_MiB});
    INFO("chunk " << chunk.bytes.count);
    Tracked tracked(origin_under_test(origin_size), chunk);
    if (kind() == "linear" || kind() == "segments-4k")
        REQUIRE(tracked.discards());
    run_rounds(tracked, rounds("show3_rounds"));
}

TEST_CASE("changed is exact since a snapshot of which only the point was kept", "[show3-keep-point]")
{
    Tracked tracked(linear_origin(origin_disk(), origin_size, 2), {"", Bytes{INTERPOSE_CHUNK_SECTORS_DEFAULT * 512}});
    REQUIRE(tracked.discards());
    tracked.disk().fill(tracked.random());
    copy(tracked.origin().path(), the_copy(), origin_size);
    tool({"create", "-n", "a", "--store", store_disk(), tracked.origin().device()});
    tracked.changes().take("a");
    for (std::uint64_t i = 0; i < rounds("show3_rounds"); ++i)
        tracked.write_some();
    tracked.compare("a", "");
    // The image withstands discards and written zeroes, too.
    CHECK(differences(tracked.origin().image("a"), the_copy(), origin_size, 16_KiB, Cached::no) == "");
    tool({"remove", "--keep-point", "a"});
    tracked.compare("a", "");
    tracked.write_some();
    tracked.checkpoint("b");
    tracked.write_some();
    tracked.compare("a", "");
    tracked.compare("a", "b");
    tracked.compare("b", "");
    tracked.remove("a");
    CHECK(run_tool({"changed", "--since", "a", tracked.origin().device()}).status == 7);
}

TEST_CASE("changed is exact over a chain of points from which random ones are removed", "[show3-chain]")
{
    const std::uint64_t length = rounds("show3_chain");
    Tracked tracked(linear_origin(origin_disk(), origin_size, 1), {"", Bytes{INTERPOSE_CHUNK_SECTORS_DEFAULT * 512}});
    Random& random = tracked.random();
    for (std::uint64_t i = 0; i < length; ++i) {
        tracked.write_some();
        tracked.checkpoint(fmt::format("p{}", i));
    }
    tracked.write_some();
    while (tracked.changes().points().size() > 2) {
        const auto points = tracked.changes().points();
        const std::string removed = points[random.below(points.size())];
        tracked.remove(removed);
        const Result refused = run_tool({"changed", "--since", removed, tracked.origin().device()});
        CHECK(refused.status == 7);
        CHECK(refused.out == "");
        const auto left = tracked.changes().points();
        const std::size_t since = random.below(left.size() - 1);
        tracked.compare(left[since], left[random.between(since + 1, left.size() - 1)]);
        if (left.size() % 5 == 0)
            tracked.compare(left[since], "");
    }
}

TEST_CASE("changed goes on where an answer of the module was full", "[show3-pages]")
{
    Tracked tracked(linear_origin(origin_disk(), origin_size, 2), {"4k", 4_KiB});
    tracked.checkpoint("a");
    Buffer buffer(4_KiB);
    for (Bytes position{0}; position.count < origin_size.count; position.count += 3 * 4096) {
        tracked.disk().write(position, buffer.span());
        tracked.changes().note({position, 4_KiB});
    }
    const Answer page = send_message("test-origin", fmt::format("changed {} 1 now 0", tracked.origin().generation()));
    REQUIRE(page.error == 0);
    REQUIRE(lines(page.text).at(0).find(" -") == std::string_view::npos); // there is more than fits
    tracked.compare("a", "");
    tracked.checkpoint("b");
    tracked.compare("a", "b");

    const auto report = nlohmann::json::parse(
        tool({"changed", "--reportformat", "json", "--since", "a", "--until", "b", tracked.origin().device()}));
    std::string extents;
    for (const auto& extent : report.at("changed").at("extents"))
        extents += fmt::format("{} {}\n", extent.at(0).get<std::uint64_t>(), extent.at(1).get<std::uint64_t>());
    CHECK(extents == changed(tracked.origin(), "a", "b"));
    CHECK(report.at("changed").at("complete") == true);
    CHECK(report.at("changed").at("chunk_size") == 4096);
}

TEST_CASE("changed never leaves out what a mounted filesystem wrote", "[show3-mounted]")
{
    Random random;
    const auto origin = lvm_origin(origin_disk(), 64_MiB);
    Filesystem filesystem(origin->path(), "ext4");
    const std::string file = filesystem.directory() + "/file";
    must({"dd", "if=/dev/zero", "of=" + file, "bs=1M", "count=24", "conv=fsync", "status=none"});
    tool(origin->attaching({"checkpoint", "-n", "a"}));
    {
        const Frozen frozen(filesystem);
        copy(origin->path(), the_copy(), origin->size());
        tool({"checkpoint", "-n", "b", origin->device()});
    }
    for (int i = 0; i < 20; ++i)
        must({"dd", "if=/dev/urandom", "of=" + file, fmt::format("bs={}", random.between(512, 100000)), "count=1",
            fmt::format("seek={}", random.below(200)), "conv=notrunc,fsync", "status=none"});
    const Frozen frozen(filesystem);
    const Bytes chunk = origin->status().chunk.bytes();
    // Whatever reads differently now was written since.
    ChunkSet written(origin->size(), chunk);
    for_each_difference(
        origin->path(), the_copy(), origin->size(), chunk, Cached::no, [&](std::uint64_t i) { written.add(i); });
    CHECK(written.count() > 0);
    for (const char* since : {"a", "b"})
        CHECK(written.not_in(parse_changed(changed(*origin, since, ""), origin->size(), chunk)) == "");
}
