// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// dmsnap clone: the copy is what the live device held at one instant; one that is not finished, for whatever reason,
// passes for nothing, and leaves nothing behind.
#include "catch.h"
#include "command.h"
#include "disk.h"
#include "dm_state.h"
#include "environment.h"
#include "kinds.h"
#include "origin.h"
#include "records.h"
#include "wait.h"

#include <csignal>
#include <fmt/format.h>
#include <string>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

constexpr Bytes size{(96_MiB).count};
constexpr int never_longer = 90; // seconds

/// A part of the spare disk; each write to it takes so many milliseconds.
std::string target_table(Bytes length, unsigned milliseconds)
{
    const Sectors sectors = Sectors::exactly(length);
    if (milliseconds == 0)
        return fmt::format("0 {} linear {} 2048\n", sectors.count, spare_disk());
    return fmt::format("0 {} delay {} 2048 0 {} 2048 {}\n", sectors.count, spare_disk(), spare_disk(), milliseconds);
}

Arguments cloning(const Origin& origin, const std::string& target, const std::string& store = store_disk())
{
    Arguments words = origin.attaching({"clone", "--store", store});
    words.push_back(target);
    return words;
}

/// The name of the point a copy is made from; empty if there is none.
std::string point_of_clone()
{
    const std::string all = tool({"list", "-o", "snap_name", "--noheadings"});
    const auto at = all.find("clone-");
    return at == std::string::npos ? "" : all.substr(at, all.find_first_of(" \n", at) - at);
}

/// Whatever looks at the device finds nothing there.
void check_passes_for_nothing(const std::string& device)
{
    CHECK(run({"blkid", "--probe", device}).status == 2);
    for (const std::uint64_t end : {std::uint64_t{0}, (size.count >> 20) - 1})
        must({"cmp", "--bytes=1M", fmt::format("--ignore-initial={}M:0", end), device, "/dev/zero"});
}

/// A copy under way, slow enough to meddle with.
class Slow {
public:
    Slow() : target_("test-target", target_table(size, 0)), origin_(linear_origin(origin_disk(), size, 2))
    {
        must({"mkfs.ext4", "-q", origin_->path()});
        // What is to be lost, at both ends.
        must({"mkfs.ext4", "-q", target_.path()});
        must({"dd", "if=/dev/urandom", "of=" + target_.path(), "bs=1M", "count=1", "oflag=direct", "status=none",
            fmt::format("seek={}", (size.count >> 20) - 1)});
        before_ = lasting_state();
        target_.replace_table(target_table(size, 1500));
    }

    std::unique_ptr<Background> begin(const std::string& store) const
    {
        Arguments command = cloning(*origin_, target_.path(), store);
        command.insert(command.begin(), "dmsnap");
        command.push_back("--yes");
        auto clone = std::make_unique<Background>(command);
        wait_until("it is being copied", never_longer,
            [&] { return clone->output().find("% of") != std::string::npos || !clone->running(); });
        INFO(clone->output());
        REQUIRE(clone->running());
        return clone;
    }

    const Origin& origin() const { return *origin_; }

    /// Nothing is left but the target's emptiness.
    void check_ended()
    {
        target_.replace_table(target_table(size, 0));
        CHECK(lasting_state() == before_);
        CHECK(tool({"check"}) == "");
        check_passes_for_nothing(target_.path());
        check_filesystem(origin_->path(), "ext4");
    }

private:
    DmDevice target_;
    std::unique_ptr<Origin> origin_;
    std::string before_;
};

} // namespace

TEST_CASE("a copy of a live device is what the device held at one instant", "[clone]")
{
    const auto origin = origin_under_test(size);
    const DmDevice target("test-target", target_table({size.count + (8_MiB).count}, 0));
    Filesystem filesystem(origin->path(), "ext4");
    RecordWriter writer(filesystem.directory() + "/records");
    writer.write_on(3);
    const std::string before = lasting_state();
    {
        const Frozen frozen(filesystem);
        tool(cloning(*origin, target.path()));
        CHECK(differences(origin->path(), target.path(), size, 64_KiB, Cached::no) == "");
    }
    CHECK(lasting_state() == before); // it was attached for that alone

    tool(origin->attaching({"create", "-n", "other", "--store", store_disk()}));
    const std::uint64_t durable = writer.durable();
    const Result second = run_tool({"clone", origin->device(), target.path()});
    CHECK(second.status == 5); // no terminal to ask on
    CHECK(second.err.find("ext4") != std::string::npos);
    tool({"clone", "--yes", origin->device(), target.path()});
    const std::uint64_t begun = writer.begun();
    CHECK(tool({"list", "-o", "snap_name", "--noheadings"}).find("clone-") == std::string::npos);
    CHECK(list_field("other", "valid") == "valid");
    writer.write_on(5);
    writer.stop();

    check_filesystem(target.path(), "ext4");
    {
        const MountedImage copy(target.path(), "ext4");
        const Ring ring = read_ring(copy.directory() + "/records");
        CHECK(ring.fault == "");
        CHECK(ring.records >= durable);
        CHECK(ring.records <= begun);
    }
    tool({"detach", "--force", origin->device()});
    filesystem.unmount();
    check_filesystem(origin->path(), "ext4");
}

TEST_CASE("a copy that is interrupted passes for nothing and leaves nothing", "[clone-ends]")
{
    Slow slow;
    const auto clone = slow.begin(store_disk());
    REQUIRE(kill(clone->pid(), SIGINT) == 0);
    CHECK(clone->wait(never_longer) == 5);
    INFO(clone->output());
    CHECK(clone->output().find("a signal has come; it is not complete") != std::string::npos);
    slow.check_ended();
}

TEST_CASE("a copy whose program is killed leaves what the next command removes", "[clone-ends]")
{
    Slow slow;
    const auto clone = slow.begin(store_disk());
    const std::string point = point_of_clone();
    REQUIRE(point != "");
    tool({"recover"}); // not what is in use
    CHECK(point_of_clone() == point);
    REQUIRE(kill(clone->pid(), SIGKILL) == 0);
    CHECK(clone->wait(never_longer) == 128 + SIGKILL);
    tool({"recover"});
    slow.check_ended();
}

TEST_CASE("a copy whose store fills up fails and says why", "[clone-ends]")
{
    Slow slow;
    auto store = std::make_unique<DmDevice>("test-store", fmt::format("0 16384 linear {} 0\n", store_disk()));
    const auto clone = slow.begin(store->path());
    // The same bytes in place: first writes all the same.
    must({"dd", "if=" + slow.origin().path(), "of=" + slow.origin().path(), "bs=1M", "count=32", "iflag=direct",
        "oflag=direct", "conv=notrunc", "status=none"});
    CHECK(clone->wait(never_longer) == 5);
    INFO(clone->output());
    CHECK(clone->output().find("store-full; it is not complete") != std::string::npos);
    CHECK(clone->output().find("try: a larger store") != std::string::npos);
    store.reset();
    slow.check_ended();
}
