// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// A raid device is suspended for a moment by a child of the tool. Whoever of the two is killed then, the other ends it,
// and of both, `dmsnap recover`; what fails is put back.
#include "base/error.h"
#include "base/text.h"
#include "catch.h"
#include "command.h"
#include "dm/libdevmapper.h"
#include "environment.h"
#include "kinds.h"
#include "ops/naming.h"
#include "origin.h"
#include "records.h"
#include "table/raid.h"
#include "wait.h"

#include <algorithm>
#include <cctype>
#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <iostream>
#include <optional>
#include <time.h>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

/// /proc/PID/stat: PID (NAME) STATE PARENT ...
std::optional<int> parent_of(const std::filesystem::path& process)
{
    std::string text;
    std::getline(std::ifstream(process / "stat"), text);
    const auto end = text.rfind(')');
    if (end == std::string::npos)
        return std::nullopt;
    return std::stoi(text.substr(end + 4));
}

std::optional<int> child_of(int pid)
{
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const std::string name = entry.path().filename();
        if (name.find_first_not_of("0123456789") == std::string::npos && parent_of(entry.path()) == pid)
            return std::stoi(name);
    }
    return std::nullopt;
}

bool is_suspended()
{
    const std::filesystem::path device = std::filesystem::canonical("/dev/mapper/test-origin");
    bool suspended = false;
    std::ifstream("/sys/block" / device.filename() / "dm/suspended") >> suspended;
    return suspended;
}

/// Waits until the tool has its child, by lot also until that has suspended the device, and a random moment more. Nothing
/// if it was too quick for that.
std::optional<int> child_at_work(Background& tool, Random& random)
{
    while (tool.running())
        if (const auto child = child_of(tool.pid())) {
            const bool waits = random.below(2) == 0;
            while (waits && !is_suspended() && child_of(tool.pid()) == child)
                ;
            const timespec moment{0, static_cast<long>(random.below(waits ? 10'000'000 : 60'000'000))};
            nanosleep(&moment, nullptr);
            return child;
        }
    return std::nullopt;
}

std::string state()
{
    return must({"dmsetup", "info", "-c", "--noheadings", "-o", "suspended,tables_loaded", "test-origin"});
}

bool attached() { return must({"dmsetup", "table", "test-origin"}).find(" interpose ") != std::string::npos; }

constexpr const char* runs = "Active:Live\n";

void check_legs_agree()
{
    must({"lvchange", "--syncaction", "check", "test/origin"});
    wait_until("the mirror's legs are compared", 120, [] {
        return must({"lvs", "--noheadings", "-o", "raid_sync_action", "test/origin"}).find("idle") != std::string::npos;
    });
    CHECK(std::stoul(must({"lvs", "--noheadings", "-o", "raid_mismatch_count", "test/origin"})) == 0);
}

enum class Killed { child, tool, both };

const char* words_for(Killed killed)
{
    return killed == Killed::child ? "the child" : killed == Killed::tool ? "the tool" : "both";
}

/// One that is left ends what was begun.
void check_ends(bool is_attached)
{
    wait_until("the child ends what was begun", 60, [&] { return attached() == is_attached && state() == runs; });
}

} // namespace

TEST_CASE("the critical section of a raid device ends whoever is killed in it", "[raid-kill]")
{
    Random random;
    auto origin = raid1_origin(64_MiB);
    std::optional<RecordWriter> writer(origin->path());
    unsigned killed = 0;
    unsigned suspended = 0; ///< at a kill
    for (std::uint64_t round = 0; round < rounds("raid_kill_rounds"); ++round)
        for (const char* verb : {"attach", "detach"})
            for (const Killed killed_ones : {Killed::child, Killed::tool, Killed::both}) {
                INFO("round " << round << ", " << verb << ", kills " << words_for(killed_ones));
                const bool wanted = std::string(verb) == "attach";
                if (attached() == wanted)
                    tool(wanted ? Arguments{"detach", origin->device()} : origin->attaching({"attach"}));
                Background tool_at_work(
                    wanted ? origin->attaching({"dmsnap", verb}) : Arguments{"dmsnap", verb, origin->device()});
                const auto child = child_at_work(tool_at_work, random);
                suspended += child && is_suspended() ? 1 : 0;
                // The tool first: it would start another child.
                if (child && killed_ones != Killed::child && kill(tool_at_work.pid(), SIGKILL) == 0)
                    ++killed;
                if (child && killed_ones != Killed::tool && kill(*child, SIGKILL) == 0)
                    ++killed;
                const int status = tool_at_work.wait(60);
                INFO(tool_at_work.output());
                CHECK((status == 0 || (killed_ones != Killed::child && status == 128 + SIGKILL)));
                if (killed_ones == Killed::both) {
                    tool({"recover"});
                    CHECK(state() == runs);
                } else {
                    check_ends(wanted);
                }
                writer->write_on(3);
            }
    std::cout << killed << " killed, while it was suspended in " << suspended << " cases\n";
    CHECK(killed > 0);
    CHECK(suspended > 0);
    writer->stop();
    const Ring ring = read_ring(origin->path());
    CHECK(ring.fault == "");
    CHECK(ring.records == writer->durable());
    writer.reset();
    if (!attached())
        tool(origin->attaching({"attach"})); // which removes what the last one that was killed left behind
    tool({"detach", origin->device()});
    check_legs_agree();
}

TEST_CASE("LVM refreshes a mirror that is attached, and its base goes with the next command", "[raid-refresh]")
{
    auto origin = raid1_origin(64_MiB);
    std::optional<RecordWriter> writer(origin->path());
    tool(origin->attaching({"attach"}));
    writer->write_on(3);
    must({"lvchange", "--refresh", "test/origin"});
    CHECK_FALSE(attached());
    writer->write_on(3);
    tool({"recover"});
    CHECK(must({"dmsetup", "ls"}).find("dmsnap") == std::string::npos);
    writer->write_on(3);
    tool(origin->attaching({"attach"}));
    writer->write_on(3);
    writer->stop();
    const Ring ring = read_ring(origin->path());
    CHECK(ring.fault == "");
    CHECK(ring.records == writer->durable());
    writer.reset();
    tool({"detach", origin->device()});
    check_legs_agree();
}

namespace {

std::string number_of(const std::string& disk)
{
    std::string text = must({"lsblk", "--nodeps", "--noheadings", "--output", "MAJ:MIN", disk});
    text.erase(
        std::remove_if(text.begin(), text.end(), [](unsigned char c) { return std::isspace(c) != 0; }), text.end());
    return text;
}

Table linear_table(std::uint64_t sectors)
{
    return parse_table(fmt::format("0 {} linear {} 0\n", sectors, number_of(origin_disk())));
}

Table interpose_table(const std::string& base)
{
    return parse_table(fmt::format("0 32768 interpose {} 0 aaaaaaaa-1111-4111-8111-111111111111 32\n", base));
}

/// A live device of 32768 sectors, "test-origin", that stands on nothing yet.
struct Swapped {
    DmDevice device{"test-origin", to_text(linear_table(32768))};
    std::unique_ptr<Dm> dm = make_libdevmapper();
    DmName name{"test-origin"};
    DmName base{"test-base"};

    ~Swapped() { try_to({"dmsetup", "remove", "--retry", "test-base"}); }
    std::string number_of_base() const { return dm->info(base).value().number.text(); }
    void check_runs(const Table& table) const
    {
        const DmInfo info = dm->info(name).value();
        CHECK_FALSE(info.suspended);
        CHECK_FALSE(info.inactive_table);
        CHECK(dm->table(name) == table);
        must({"dd", "if=/dev/zero", "of=" + device.path(), "bs=4k", "count=1", "oflag=direct", "status=none"});
    }
};

} // namespace

TEST_CASE("a swap that the kernel refuses while the device is suspended is put back", "[swap-suspended]")
{
    const Swapped world;
    // Too small, which shows only when it runs.
    world.dm->prepare({world.base, "TEST-base", linear_table(16384), Visibility::private_device, false});
    world.dm->load(world.name, interpose_table(world.number_of_base()));
    CHECK_THROWS_AS(world.dm->swap_suspended({world.name, world.base, linear_table(32768), true, {}}), Error);
    world.check_runs(linear_table(32768));
    CHECK(world.dm->info(world.base).value().suspended);
}

namespace {

std::string health_of(const DmName& name)
{
    return std::string(raid_health(make_libdevmapper()->status(name).at(0).text));
}

/// A leg gives errors from now on, and the mirror has seen it.
void lose_leg(const Origin& origin)
{
    must({"dmsetup", "wipe_table", "--force", "test-origin_rimage_1"});
    must({"dd", "if=/dev/zero", "of=" + origin.path(), "bs=4k", "count=1", "oflag=direct", "status=none"});
    wait_until("the leg is lost", 60, [] { return health_of(DmName("test-origin")) == "AD"; });
}

/// A mirror with all loaded for its attach, as one that died has left it.
struct LoadedMirror {
    std::unique_ptr<Origin> origin = raid1_origin(64_MiB);
    std::unique_ptr<Dm> dm = make_libdevmapper();
    DmName name{"test-origin"};
    Uuid uuid = Uuid::from_text("aaaaaaaa-1111-4111-8111-111111111111").value();
    DmName base = base_name(uuid);
    Table before = dm->table(name);

    LoadedMirror()
    {
        REQUIRE(health_of(name) == "AA");
        dm->prepare({base, base_uuid(uuid), before, Visibility::private_device, false});
        const std::string below = dm->info(base).value().number.text();
        const std::string line = fmt::format("0 {} interpose {} 0 {} 32\n", length(before).count, below, uuid.text());
        dm->load(name, parse_table(line));
    }

    /// As before the attach, and it can be attached.
    void check_goes_on() const
    {
        const DmInfo info = dm->info(name).value();
        CHECK_FALSE(info.suspended);
        CHECK_FALSE(info.inactive_table);
        CHECK(dm->table(name) == before);
        must({"dd", "if=" + origin->path(), "of=/dev/null", "bs=4k", "count=1", "iflag=direct", "status=none"});
    }
    /// What is read now knows of the leg.
    void check_attaches() const
    {
        tool(origin->attaching({"attach"}));
        // The base sees the leg fail before the detach looks, and not while it is at work.
        must({"dd", "if=/dev/zero", "of=" + origin->path(), "bs=4k", "count=1", "oflag=direct", "status=none"});
        tool({"detach", origin->device()});
    }
};

} // namespace

TEST_CASE("a leg that fails after the base was loaded is not read again", "[swap-suspended]")
{
    const LoadedMirror mirror;
    lose_leg(*mirror.origin);
    const std::string loaded(raid_health(mirror.dm->inactive_status(mirror.base).at(0).text));
    CHECK(loaded == "AA");
    std::string said;
    try {
        mirror.dm->swap_suspended({mirror.name, mirror.base, mirror.before, true, loaded});
    } catch (const Error& error) {
        said = error.what();
    }
    CHECK(said.find("test-origin: cannot swap its table: a leg of the raid has failed") == 0);
    mirror.check_goes_on();
    CHECK(mirror.dm->info(mirror.base).value().suspended);
    mirror.dm->remove(mirror.base);
    mirror.check_attaches();
}

TEST_CASE("recover takes an attach back whose mirror has lost a leg since", "[swap-suspended]")
{
    const LoadedMirror mirror;
    lose_leg(*mirror.origin);
    must({"dmsetup", "suspend", "--nolockfs", mirror.name.text()}); // the last thing it did
    const Result first = run_tool({"recover"});
    CHECK(first.status == 5);
    CHECK(first.err.find("a leg of the raid has failed") != std::string::npos);
    mirror.check_goes_on();
    tool({"recover"});
    CHECK_FALSE(mirror.dm->info(mirror.base));
    mirror.check_attaches();
}

TEST_CASE("a mirror is not suspended where there is no room for a second process", "[swap-suspended]")
{
    const auto origin = raid1_origin(64_MiB);
    const std::string devices = must({"dmsetup", "ls"});
    const std::string group = "/sys/fs/cgroup/dmsnap-test";
    must({"sh", "-c", "mountpoint -q /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup"});
    must({"sh", "-c",
        fmt::format("echo +pids >/sys/fs/cgroup/cgroup.subtree_control && mkdir {0} && echo 1 >{0}/pids.max", group)});
    std::string command = fmt::format("echo $$ >{}/cgroup.procs && exec dmsnap", group);
    for (const std::string& word : origin->attaching({"attach"}))
        command += " " + shell_word(word);
    const Result alone = run({"sh", "-c", command});
    must({"rmdir", group});
    INFO(alone.err);
    CHECK(alone.status == 5);
    CHECK(alone.err.find("test-origin: cannot start the process that swaps its table") != std::string::npos);
    CHECK(state() == runs);
    CHECK_FALSE(attached());
    CHECK(must({"dmsetup", "ls"}) == devices);
    tool(origin->attaching({"attach"}));
    tool({"detach", origin->device()});
}

TEST_CASE("a swap may be asked for again", "[swap-suspended]")
{
    const Swapped world;
    world.dm->prepare({world.base, "TEST-base", linear_table(32768), Visibility::private_device, false});
    const Table above = interpose_table(world.number_of_base());
    world.dm->load(world.name, above);
    for (int i = 0; i < 2; ++i) {
        world.dm->swap_suspended({world.name, world.base, linear_table(32768), true, {}});
        world.check_runs(above);
        CHECK_FALSE(world.dm->info(world.base).value().suspended);
    }
    world.dm->load(world.name, linear_table(32768));
    for (int i = 0; i < 2; ++i) {
        world.dm->swap_suspended({world.name, world.base, above, false, {}});
        world.check_runs(linear_table(32768));
        CHECK(world.dm->info(world.base).value().suspended);
    }
}
