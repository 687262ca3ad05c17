// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// A live device that is suspended, or whose table is swapped, while an image of it is being read: reads wait, go on
// where a table of the origin comes back, and fail as soon as another one has taken the device.
#include "catch.h"
#include "command.h"
#include "disk.h"
#include "dm-interpose.h"
#include "environment.h"
#include "load.h"
#include "origin.h"
#include "wait.h"
#include "worker.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <future>
#include <sstream>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

constexpr Bytes block = 4_KiB;
const std::string live_name = "test-origin";
const std::string image_name = "dmsnap-s1";

/// Reads and writes of a block device that have begun and not ended.
std::pair<unsigned, unsigned> in_flight(const std::string& path)
{
    const std::string device = std::filesystem::canonical(path).filename().string();
    std::ifstream file("/sys/class/block/" + device + "/inflight");
    unsigned reads = 0;
    unsigned writes = 0;
    file >> reads >> writes;
    return {reads, writes};
}

unsigned reads_in_flight(const std::string& path) { return in_flight(path).first; }

std::string live_table() { return must({"dmsetup", "table", live_name}); }

bool has_inactive_table()
{
    return must({"dmsetup", "info", "-c", "--noheadings", "-o", "tables_loaded", live_name}) != "Live\n";
}

/// Loads and resumes; what is pending is finished by the old table.
void swap_in(const std::string& table)
{
    must({"dmsetup", "load", live_name}, table);
    must({"dmsetup", "resume", live_name});
}

std::uint32_t events(const std::string& name)
{
    return static_cast<std::uint32_t>(
        std::stoul(must({"dmsetup", "info", "-c", "--noheadings", "-o", "events", name})));
}

/// Removes what is left of an attached device whose table somebody else has swapped.
void remove_remains()
{
    for (int pass = 0; pass < 2; ++pass) { // images first, then what they lie on
        std::istringstream names(run({"dmsetup", "info", "-c", "--noheadings", "-o", "name"}).out);
        for (std::string name; std::getline(names, name);)
            if (name.starts_with(pass == 0 ? image_name : "dmsnap-"))
                must({"dmsetup", "remove", "--retry", name});
    }
}

/// A device of random data of which there is a copy and a snapshot s1.
class Snapped {
public:
    explicit Snapped(std::unique_ptr<Origin> origin) : origin_(std::move(origin)), live_(origin_->path())
    {
        live_.fill(random_);
        take();
    }

    const Origin& origin() const { return *origin_; }
    const Disk& live() const { return live_; }
    Random& random() { return random_; }
    std::string image() const { return origin_->image("s1"); }
    void take()
    {
        copy(origin_->path(), the_copy(), origin_->size());
        tool({"create", "-n", "s1", "--store", store_disk(), origin_->device()});
    }
    std::string image_differences() const
    {
        return differences(image(), the_copy(), origin_->size(), block, Cached::no);
    }

private:
    Random random_;
    std::unique_ptr<Origin> origin_;
    Disk live_;
};

/// Reads one block of the image after another, at random, and compares it with the copy.
class ImageReader {
public:
    explicit ImageReader(const Snapped& snapped)
        : image_(snapped.image()), copy_(the_copy().path), blocks_(snapped.origin().size().count / block.count),
          worker_([this] { step(); })
    {
    }

    Worker& worker() { return worker_; }
    unsigned wrong() const { return wrong_; }

private:
    void step()
    {
        const std::uint64_t position = random_.below(blocks_) * block.count;
        image_.read({position}, seen_.span());
        copy_.read({the_copy().start.count + position}, wanted_.span());
        if (!std::ranges::equal(seen_.span(), wanted_.span()))
            ++wrong_;
    }

    Random random_;
    Disk image_;
    Disk copy_;
    std::uint64_t blocks_;
    Buffer seen_{block};
    Buffer wanted_{block};
    std::atomic<unsigned> wrong_ = 0;
    Worker worker_;
};

/// Overwrites blocks of the live device at random.
class LiveWriter {
public:
    explicit LiveWriter(const Origin& origin)
        : live_(origin.path()), blocks_(origin.size().count / block.count), worker_([this] { step(); })
    {
    }
    Worker& worker() { return worker_; }

private:
    void step()
    {
        buffer_.fill(random_);
        live_.write({random_.below(blocks_) * block.count}, buffer_.span());
    }

    Random random_;
    Disk live_;
    std::uint64_t blocks_;
    Buffer buffer_{block};
    Worker worker_;
};

void wait_for_steps(const Worker& worker, std::uint64_t count)
{
    const std::uint64_t enough = worker.steps() + count;
    wait_until("reads or writes", 60, [&] { return worker.steps() >= enough || worker.ended(); });
}

std::string delay_table(unsigned read_delay, unsigned write_delay)
{
    return fmt::format("0 32768 delay {0} 0 {1} {0} 0 {2}\n", origin_disk(), read_delay, write_delay);
}

/// One block of the image, read in a thread.
class OneRead {
public:
    OneRead(const Snapped& snapped, Bytes position)
        : image_(snapped.image()),
          done_(std::async(std::launch::async, [this, position] { image_.read(position, buffer_.span()); }))
    {
    }
    bool ended() const { return done_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
    /// What it read; throws what made it fail.
    std::span<std::byte> result()
    {
        wait_until("the read of an image", 60, [this] { return ended(); });
        done_.get();
        return buffer_.span();
    }

private:
    Disk image_;
    Buffer buffer_{block};
    std::future<void> done_;
};

void check_lost(const Snapped& snapped)
{
    const std::string status = must({"dmsetup", "status", image_name});
    CHECK(status.find(INTERPOSE_VALIDITY_INVALID) != std::string::npos);
    CHECK(status.find(INTERPOSE_FAILURE_DETACHED) != std::string::npos);
    Buffer buffer(block);
    const Disk image(snapped.image());
    try {
        image.read({0}, buffer.span());
        FAIL("the image can be read");
    } catch (const Error& error) {
        CHECK(error.number() == EIO);
    }
}

void check_chain_broken(const Snapped& snapped)
{
    const Result changed = run_tool({"changed", "--since", "s1", snapped.origin().device()});
    CHECK(changed.status == 7);
    CHECK(changed.out == "");
}

/// Of a device whose table came back behind a stranger's.
void check_tool_says_lost(const Snapped& snapped)
{
    CHECK(tool({"status", snapped.origin().device()}).find(INTERPOSE_STATE_LOST) != std::string::npos);
    CHECK(run_tool({"check", snapped.origin().device()}).status == 5);
    CHECK(list_field("s1", "reason") == INTERPOSE_FAILURE_DETACHED);
    CHECK(run_tool({"checkpoint", "-n", "c1", snapped.origin().device()}).status == 5);
    CHECK(run_tool({"detach", snapped.origin().device()}).status == 5);
    check_chain_broken(snapped);
}

/// A stranger's swap while the image is read and the device written: no read is wrong, no write fails, all are told.
void swap_under_readers(const Snapped& snapped, const std::string& table, bool suspend_first)
{
    Background live_event({"dmsetup", "wait", "--noflush", live_name, std::to_string(events(live_name))});
    Background image_event({"dmsetup", "wait", "--noflush", image_name, std::to_string(events(image_name))});
    ImageReader reader(snapped);
    LiveWriter writer(snapped.origin());
    wait_for_steps(reader.worker(), 50);
    if (suspend_first)
        must({"dmsetup", "suspend", live_name});
    swap_in(table);
    wait_until("the reads to fail", 60, [&] { return reader.worker().ended(); });
    CHECK(reader.worker().error() == EIO);
    CHECK(reader.wrong() == 0);
    wait_for_steps(writer.worker(), 20);
    writer.worker().stop();
    CHECK(writer.worker().error() == 0);
    CHECK(live_event.wait(60) == 0);
    CHECK(image_event.wait(60) == 0);
}

/// Keeps udevd from looking into devices, and so from reading them, while it lives.
class UdevAsleep {
public:
    UdevAsleep()
    {
        must({"udevadm", "settle"});
        must({"udevadm", "control", "--stop-exec-queue"});
    }
    ~UdevAsleep() { try_to({"udevadm", "control", "--start-exec-queue"}); }
    UdevAsleep(const UdevAsleep&) = delete;
    UdevAsleep& operator=(const UdevAsleep&) = delete;
};

/// While udevd is asleep.
void set_delay(const DmDevice& slow, unsigned read_delay)
{
    must({"dmsetup", "load", slow.name()}, delay_table(read_delay, 0));
    must({"dmsetup", "suspend", "--noflush", "--nolockfs", slow.name()});
    must({"dmsetup", "resume", "--noudevsync", slow.name()});
}

/// One read has gone to the base when the device is suspended, the other comes later.
void read_across_suspend(Snapped& snapped, const DmDevice& slow, Bytes position)
{
    const UdevAsleep asleep;
    Buffer old(block);
    Buffer fresh(block);
    fresh.fill(snapped.random());
    snapped.live().read(position, old.span());
    set_delay(slow, 60000);
    // A delayed read is not counted by the delaying device, but by the image.
    OneRead before(snapped, position);
    wait_until("a read of the base", 60, [&] { return reads_in_flight(snapped.image()) == 1; });
    must({"dmsetup", "suspend", live_name});
    OneRead during(snapped, position);
    wait_until("both reads to be under way", 60, [&] { return reads_in_flight(snapped.image()) == 2; });
    set_delay(slow, 0); // the base answers
    CHECK_FALSE(before.ended());
    CHECK_FALSE(during.ended());
    must({"dmsetup", "resume", "--noudevsync", live_name});
    snapped.live().write(position, fresh.span());
    CHECK(std::ranges::equal(before.result(), old.span()));
    CHECK(std::ranges::equal(during.result(), old.span()));
}

} // namespace

TEST_CASE("reads of an image wait while the device is suspended, and show the old data", "[image-suspend]")
{
    const DmDevice slow("test-slow", delay_table(0, 0));
    Snapped snapped(whole_disk_origin(slow.path()));
    for (const Bytes position : {8_MiB, 12_MiB})
        read_across_suspend(snapped, slow, position);
    must({"dmsetup", "suspend", live_name});
    CHECK(must({"dmsetup", "status", image_name}).find(" valid ") != std::string::npos);
    must({"dmsetup", "remove", "--retry", image_name}); // nobody reads it: nothing to wait for
    must({"dmsetup", "resume", live_name});
    tool({"remove", "s1"});
    tool({"detach", snapped.origin().device()});
}

TEST_CASE("an image is suspended without flush, or loses its table, while reads of it wait", "[image-suspend]")
{
    const Bytes position = 8_MiB;
    Snapped snapped(linear_origin(origin_disk(), 48_MiB, 1));
    const UdevAsleep asleep;
    Buffer old(block);
    snapped.live().read(position, old.span());
    const auto read_waits = [&] { return reads_in_flight(snapped.image()) == 1; };
    must({"dmsetup", "suspend", live_name});
    {
        OneRead read(snapped, position);
        wait_until("a read to wait", 60, read_waits);
        must({"dmsetup", "suspend", "--noflush", "--nolockfs", image_name});
        CHECK_FALSE(read.ended());
        must({"dmsetup", "resume", "--noudevsync", image_name});
        wait_until("the read to wait again", 60, read_waits);
        CHECK_FALSE(read.ended());
        must({"dmsetup", "resume", "--noudevsync", live_name});
        CHECK(std::ranges::equal(read.result(), old.span()));
    }
    must({"dmsetup", "suspend", live_name});
    {
        OneRead read(snapped, position);
        wait_until("a read to wait", 60, read_waits);
        must({"dmsetup", "wipe_table", "--noflush", "--nolockfs", "--noudevsync", image_name});
        CHECK_THROWS_AS(read.result(), Error);
    }
    must({"dmsetup", "resume", "--noudevsync", live_name});
    must({"dmsetup", "remove", "--retry", "--noudevsync", image_name});
}

TEST_CASE("an image is read without an error while the origin's tables follow each other", "[image-suspend]")
{
    Snapped snapped(linear_origin(origin_disk(), 48_MiB, 3));
    const std::string generation = snapped.origin().generation();
    {
        ImageReader reader(snapped);
        LiveWriter writer(snapped.origin());
        for (std::uint64_t left = rounds("swap_handovers"); left > 0; --left) {
            wait_for_steps(reader.worker(), 3);
            swap_in(live_table());
        }
        reader.worker().stop();
        writer.worker().stop();
        CHECK(reader.worker().error() == 0);
        CHECK(reader.wrong() == 0);
        CHECK(writer.worker().error() == 0);
    }
    CHECK(snapped.origin().generation() == generation);
    CHECK(snapped.image_differences() == "");
    tool({"remove", "s1"});
    tool({"detach", snapped.origin().device()});
}

TEST_CASE("a stranger's table costs the snapshots at once, and never shows a wrong image", "[foreign-swap]")
{
    auto origin = linear_origin(origin_disk(), 48_MiB, 1);
    const std::string original = live_table();
    Snapped snapped(std::move(origin));
    for (std::uint64_t round = rounds("swap_foreign"); round > 0; --round) {
        swap_under_readers(snapped, original, round % 2 == 0);
        check_lost(snapped);
        check_chain_broken(snapped);
        remove_remains();
        if (round > 1)
            snapped.take();
    }
}

TEST_CASE("a filesystem on a device with a mounted image outlives a stranger's table", "[foreign-swap]")
{
    Random random;
    const auto origin = linear_origin(origin_disk(), 192_MiB, 2);
    const std::string original = live_table();
    Filesystem filesystem(origin->path(), "ext4");
    Load load(filesystem.directory(), 8_MiB, random);
    tool({"attach", origin->device()});
    load.start();
    tool({"create", "-n", "s1", "--store", store_disk(), origin->device()});
    {
        const MountedImage image(origin->image("s1"), "ext4");
        must({"ls", image.directory()});
        must({"dmsetup", "suspend", live_name});
        swap_in(original);
        drop_caches();
        CHECK(run({"sh", "-c", fmt::format("cat {}/* >/dev/null", image.directory())}).status != 0);
    }
    load.stop();
    filesystem.unmount();
    check_filesystem(origin->path(), "ext4");
    remove_remains();
}

// The stranger's resume waits for a write, has taken the stranger's table out of the inactive slot and not suspended
// the device yet: a table of ours may be loaded then, and finds the device no longer ours when it is resumed.
TEST_CASE("a table loaded while a stranger's is being resumed takes nothing over", "[foreign-swap]")
{
    const DmDevice slow("test-slow", delay_table(0, 0));
    auto origin = whole_disk_origin(slow.path());
    const std::string original = live_table();
    Snapped snapped(std::move(origin));
    const std::string ours = live_table();
    Buffer buffer(block);
    buffer.fill(snapped.random());

    slow.replace_table(delay_table(0, 60000));
    auto write = std::async(std::launch::async, [&] { snapped.live().write({0}, buffer.span()); });
    wait_until("the write is under way", 30, [&] { return in_flight(snapped.origin().path()).second > 0; });
    must({"dmsetup", "load", live_name}, original);
    Background resume({"dmsetup", "resume", live_name});
    wait_until("the resume to begin", 30, [] { return !has_inactive_table(); });
    must({"dmsetup", "load", live_name}, ours);
    slow.replace_table(delay_table(0, 0)); // lets go of the write
    REQUIRE(resume.wait(60) == 0);
    write.get();
    CHECK(live_table() == original);
    check_lost(snapped);
    snapped.live().write({4096}, buffer.span()); // that ours shall not vouch for

    must({"dmsetup", "resume", live_name});
    CHECK(live_table() == ours);
    CHECK(must({"dmsetup", "status", live_name}).find(" " INTERPOSE_STATE_LOST " ") != std::string::npos);
    CHECK(run({"dmsetup", "message", live_name, "0", INTERPOSE_MSG_POINTS, "0"}).status != 0);
    check_lost(snapped);
    check_tool_says_lost(snapped);
    Buffer seen(block);
    snapped.live().write({8192}, buffer.span());
    snapped.live().read({8192}, seen.span());
    CHECK(std::ranges::equal(seen.span(), buffer.span()));
    tool({"detach", "--force", snapped.origin().device()});
    CHECK(live_table() == original);
    tool({"recover"});
    CHECK(must({"dmsetup", "ls"}).find("dmsnap") == std::string::npos);
}

// Both resumes wait for the same write, and go on in whatever order the kernel lets them.
TEST_CASE("a table resumed beside a stranger's vouches for nothing it did not see", "[foreign-swap]")
{
    const DmDevice slow("test-slow", delay_table(0, 0));
    auto origin = whole_disk_origin(slow.path());
    const std::string original = live_table();
    Snapped snapped(std::move(origin));
    for (std::uint64_t round = rounds("swap_foreign"); round > 0; --round) {
        const std::string ours = live_table();
        slow.replace_table(delay_table(0, 60000));
        LiveWriter writer(snapped.origin());
        wait_until("a write is under way", 30, [&] { return in_flight(snapped.origin().path()).second > 0; });
        must({"dmsetup", "load", live_name}, original);
        Background theirs({"dmsetup", "resume", live_name});
        wait_until("the resume to begin", 30, [] { return !has_inactive_table(); });
        must({"dmsetup", "load", live_name}, ours);
        Background own({"dmsetup", "resume", live_name});
        wait_until("the other resume to begin", 30, [] { return !has_inactive_table(); });
        slow.replace_table(delay_table(0, 0)); // lets go of the write
        theirs.wait(60);
        own.wait(60);
        wait_for_steps(writer.worker(), 20);
        writer.worker().stop();
        CHECK(writer.worker().error() == 0);
        if (must({"dmsetup", "status", image_name}).find(" valid ") != std::string::npos)
            CHECK(snapped.image_differences() == "");
        if (live_table() != original)
            tool({"detach", "--force", snapped.origin().device()});
        remove_remains();
        if (round > 1)
            snapped.take();
    }
}
