// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

#include "catch.h"
#include "world.h"

using namespace dmsnap;
using namespace dmsnap::test;

namespace {

Plan take_snapshot(World& world)
{
    return plan_take(world.machine(), world.candidate(), snapshot_wish(), store_wish());
}

Plan take_in_file(World& world) { return plan_take_in_file(world, snapshot_wish(), file_wish()); }

World with_checkpoint_on_first()
{
    World world = set_world();
    const Uuid other = *Uuid::from_text("ffffffff-6666-4666-8666-666666666666");
    if (!world.run(plan_take(world.machine(), world.candidate(), checkpoint_wish("c0", other), {})).done())
        throw std::runtime_error("no checkpoint");
    return world;
}

const Scenario reversible[] = {
    {"attach a linear device", linear_world, [](World& w) { return plan_attach(w.machine(), w.candidate(), U); }},
    {"attach a segmented device", segmented_world, [](World& w) { return plan_attach(w.machine(), w.candidate(), U); }},
    {"attach a raid device", raid_world, [](World& w) { return plan_attach(w.machine(), w.candidate(), U); }},
    {"attach a plain disk", disk_world, [](World& w) { return plan_attach(w.machine(), w.candidate(), U); }},
    {"create on a plain disk", disk_world, take_snapshot},
    {"checkpoint on a plain disk", disk_world,
        [](World& w) { return plan_take(w.machine(), w.candidate(), checkpoint_wish("c1", Q), {}); }},
    {"create on an attached disk", [] { return world_with_snapshot(disk_world()); },
        [](World& w) { return plan_take(w.machine(), w.candidate(), snapshot_wish("s2", Q), {}); }},
    {"create on a linear device", linear_world, take_snapshot},
    {"create on a segmented device", segmented_world, take_snapshot},
    {"create in a file on a linear device", large_linear_world, take_in_file},
    {"create in a file on a segmented device", large_segmented_world, take_in_file},
    {"create in a file on a plain disk", large_disk_world, take_in_file},
    {"create on a raid device", raid_world, take_snapshot},
    {"create where no udevd runs",
        [] {
            World world = linear_world();
            world.dm.udev = false;
            return world;
        },
        take_snapshot},
    {"create a set", set_world, [](World& w) { return plan_set(w, snapshot_wish(), store_wish()); }},
    {"checkpoint a set", set_world, [](World& w) { return plan_set(w, checkpoint_wish("c1", Q), {}); }},
    {"create a set of a device that is attached and one that is not", with_checkpoint_on_first,
        [](World& w) { return plan_set(w, snapshot_wish(), store_wish()); }},
    {"checkpoint on a segmented device", segmented_world,
        [](World& w) { return plan_take(w.machine(), w.candidate(), checkpoint_wish("c1", Q), {}); }},
    {"create on an attached device", [] { return world_with_snapshot(linear_world()); },
        [](World& w) { return plan_take(w.machine(), w.candidate(), snapshot_wish("s2", Q), {}); }},
};

Plan remove_point(World& world)
{
    const Machine machine = world.machine();
    return plan_remove(machine, {{&machine.origins.at(0), &machine.origins.at(0).points.at(0)}}, false);
}

Plan detach_by_force(World& world)
{
    const Machine machine = world.machine();
    return plan_detach(machine, machine.origins.at(0), true);
}

const Scenario with_no_way_back[] = {
    {"remove the last snapshot", [] { return world_with_snapshot(linear_world()); }, remove_point},
    {"release the last snapshot", [] { return world_with_snapshot(linear_world()); },
        [](World& w) {
            const Machine machine = w.machine();
            return plan_remove(machine, {{&machine.origins.at(0), &machine.origins.at(0).points.at(0)}}, true);
        }},
    {"remove the last snapshot, in a file", [] { return world_with_file(large_disk_world()); }, remove_point},
    {"detach a plain disk by force, with a file", [] { return world_with_file(large_disk_world()); }, detach_by_force},
    {"detach a plain disk by force", [] { return world_with_snapshot(disk_world()); }, detach_by_force},
    {"detach by force", [] { return world_with_snapshot(segmented_world()); }, detach_by_force},
};

unsigned calls_of(const Scenario& scenario)
{
    World world = scenario.make();
    const unsigned before = world.dm.trouble.calls();
    REQUIRE(world.run(scenario.plan(world)).done());
    return world.dm.trouble.calls() - before;
}

std::string state_when_done(const Scenario& scenario)
{
    World world = scenario.make();
    REQUIRE(world.run(scenario.plan(world)).done());
    return world.state();
}

} // namespace

TEST_CASE("a plan that fails at any call ends where it began", "[plan]")
{
    for (const Scenario& scenario : reversible) {
        const unsigned calls = calls_of(scenario);
        REQUIRE(calls >= 2);
        for (unsigned call = 1; call <= calls; ++call) {
            World world = scenario.make();
            const std::string before = world.state();
            const Plan plan = scenario.plan(world);
            world.dm.trouble.fail_at(world.dm.trouble.calls() + call);
            const Outcome outcome = world.run(plan);
            INFO(scenario.name << ", call " << call);
            REQUIRE(outcome.error);
            CHECK(outcome.undone());
            CHECK(world.state() == before);
        }
    }
}

TEST_CASE("a call that did its work and lost its answer is undone as well, or counts as done", "[plan]")
{
    for (const Scenario& scenario : reversible) {
        const unsigned calls = calls_of(scenario);
        const std::string done = state_when_done(scenario);
        for (unsigned call = 1; call <= calls; ++call) {
            World world = scenario.make();
            const std::string before = world.state();
            const Plan plan = scenario.plan(world);
            world.dm.trouble.fail_at(world.dm.trouble.calls() + call, Trouble::When::after);
            const Outcome outcome = world.run(plan);
            INFO(scenario.name << ", call " << call);
            CHECK(outcome.left_to_do.empty());
            CHECK(world.state() == (outcome.done() ? done : before));
        }
    }
}

TEST_CASE("a swap that the kernel gives up leaves the old table running", "[plan]")
{
    for (const auto& make : {linear_world, segmented_world}) {
        World world = make();
        const std::string before = world.state();
        const Plan plan = take_snapshot(world);
        world.dm.swap_fails = true;
        const Outcome outcome = world.run(plan);
        CHECK(outcome.undone());
        CHECK(world.state() == before);
    }
}

TEST_CASE("what cannot be undone is left as commands", "[plan]")
{
    World world = segmented_world();
    const Plan plan = take_snapshot(world);
    // From the image's creation on nothing works any more.
    world.dm.trouble.fail_from(world.dm.trouble.calls() + 9);
    const Outcome outcome = world.run(plan);
    REQUIRE(outcome.error);
    REQUIRE(outcome.taken.size() == 1);
    CHECK_FALSE(outcome.undone());
    const std::vector<std::string> expected = {
        "printf '%s\\n' '0 2048 linear 8:16 0' '2048 2048 linear 8:32 64' | dmsetup load 'vg-home'",
        "dmsetup resume --nolockfs 'vg-home'",
        "dmsetup remove 'dmsnap-base-aaaaaaaa'",
        "dmsetup remove 'dmsnap-store-bbbbbbbb'",
    };
    CHECK(outcome.left_to_do == expected);
}

TEST_CASE("before the point of no return all is undone, after it the rest is left as commands", "[plan]")
{
    for (const Scenario& scenario : with_no_way_back) {
        const unsigned calls = calls_of(scenario);
        unsigned undone = 0;
        unsigned left = 0;
        unsigned remarked = 0;
        const std::string done = state_when_done(scenario);
        for (unsigned call = 1; call <= calls; ++call) {
            World world = scenario.make();
            const std::string before = world.state();
            const Plan plan = scenario.plan(world);
            world.dm.trouble.fail_at(world.dm.trouble.calls() + call);
            const Outcome outcome = world.run(plan);
            INFO(scenario.name << ", call " << call);
            if (!outcome.error) { // of what may fail, at the very end
                ++remarked;
                CHECK(outcome.remarks.size() == 1);
                CHECK(world.state() == done + "file /home/.dmsnap-store-" + S.text() + "\n");
                continue;
            }
            REQUIRE(outcome.error);
            if (outcome.undone()) {
                ++undone;
                CHECK(left == 0);
                CHECK(world.state() == before);
            } else {
                ++left;
                CHECK(world.state() != before);
                CHECK(outcome.left_to_do.back() == by_hand(plan.back()));
            }
        }
        INFO(scenario.name);
        CHECK(undone >= 2); // the image's removal, and the drop, release or swap
        CHECK(remarked == (std::string_view(scenario.name).find("file") != std::string_view::npos ? 1U : 0U));
        CHECK(left > 0);
    }
}

TEST_CASE("a device of the same name is not taken for the one a failed plan made", "[plan]")
{
    World world = segmented_world();
    const Plan plan = take_snapshot(world);
    world.dm.add("dmsnap-s1", "0 8 error\n");
    const std::string before = world.state();
    CHECK(world.run(plan).undone());
    CHECK(world.state() == before);
}

TEST_CASE("progress tells every step and every undo", "[plan]")
{
    World world = linear_world();
    const Plan plan = plan_attach(world.machine(), world.candidate(), U);
    world.dm.trouble.fail_at(world.dm.trouble.calls() + 2);
    std::string told;
    execute(plan, world.dm, world.host, [&](const std::string& line) { told += line; });
    CHECK(told == to_text(plan) + "undo " + to_text(plan[1]) + "undo " + to_text(plan[0]));
}

TEST_CASE("a command for a human is read by a shell as it is meant", "[plan]")
{
    const PointId point{U, 1};
    Tags tags;
    tags.add(Tag("a&b"));
    tags.add(Tag("#1"));
    CHECK(by_hand(ChangePoint{{DmName("vg-home")}, {.point = point, .tags = tags}, {}}).find("'a&b,#1'") !=
          std::string::npos);
    CHECK(by_hand(Resume{DmName("vg-home"), {}}) == "dmsetup resume --nolockfs 'vg-home'");
    const std::string load =
        by_hand(Load{DmName("luks"), parse_table("0 8192 crypt aes-xts-plain64 00ff 0 8:16 4096\n")});
    CHECK(load.find("00ff") == std::string::npos);
    CHECK(load.find("  # KEY stands for the key") != std::string::npos);
    CHECK(by_hand(Load{DmName("x"), parse_table("0 8 linear 8:16 0\n")}).find('#') == std::string::npos);
}

TEST_CASE("an undo leaves alone what somebody else has swapped in or loaded meanwhile", "[plan]")
{
    struct Stranger {
        const char* table;
        bool swaps;
    };
    for (const auto& make : {linear_world, segmented_world, raid_world})
        for (const Stranger& stranger :
            {Stranger{"0 8192 linear 8:16 384\n", true}, Stranger{"0 8192 linear 8:16 384\n", false}}) {
            World world = make();
            const Plan plan = take_snapshot(world);
            const Table table = parse_table(stranger.table);
            // The image cannot be made, and before it is tried a stranger comes.
            world.dm.add("dmsnap-s1", "0 8 error\n");
            const Outcome outcome = execute(plan, world.dm, world.host, [&](const std::string& line) {
                FakeDevice& live = world.dm.devices[world.device];
                if (!line.starts_with("create  dmsnap-s1"))
                    return;
                live.inactive = table;
                if (stranger.swaps)
                    world.dm.resume(world.device, Visibility::public_device);
            });
            REQUIRE(outcome.error);
            const FakeDevice& live = world.dm.devices[world.device];
            CHECK((stranger.swaps ? live.live : live.inactive) == table);
            REQUIRE_FALSE(outcome.undone());
            CHECK(outcome.left_to_do.back().starts_with("# vg-home: somebody else has "));
            CHECK(outcome.left_to_do.back().find("dmsetup") == std::string::npos);
            if (stranger.swaps)
                continue;
            // It stays attached, and there is no point that nobody asked to keep.
            CHECK(interpose_line(live.live) != nullptr);
            CHECK(world.dm.origins.at(U).points.empty());
            CHECK_FALSE(world.dm.origins.at(U).store.has_value());
            CHECK(world.dm.devices.count(store_name(S)) == 0);
        }
}

TEST_CASE("a table that somebody loads in between is neither swapped in nor cleared", "[plan]")
{
    for (const auto& make : {linear_world, segmented_world, raid_world})
        for (const char* moment : {"load ", "resume", "swap "}) {
            World world = make();
            const Table before = world.dm.table(world.device);
            const Table table = parse_table("0 8192 linear 8:16 384\n");
            const Plan plan = plan_attach(world.machine(), world.candidate(), U);
            bool came = false;
            const Outcome outcome = execute(plan, world.dm, world.host, [&](const std::string& line) {
                if (came || !line.starts_with(moment))
                    return;
                came = true;
                world.dm.devices[world.device].inactive = table;
            });
            if (!came)
                continue;
            CHECK(outcome.undone());
            CHECK(world.dm.devices.size() == 1);
            CHECK(world.dm.devices[world.device].live == before);
            CHECK(world.dm.devices[world.device].inactive == table);
        }
}

TEST_CASE("a stranger's table that overtakes ours at the swap is no success, and left alone", "[plan]")
{
    for (const auto& make : {linear_world, segmented_world}) {
        World world = make();
        const Table table = parse_table("0 8192 linear 8:16 384\n");
        const Plan plan = plan_attach(world.machine(), world.candidate(), U);
        world.dm.overtakes = table;
        const Outcome outcome = execute(plan, world.dm, world.host, {});
        REQUIRE(outcome.error);
        CHECK(outcome.error->subject() == "vg-home");
        CHECK(world.dm.devices[world.device].live == table);
        CHECK(world.dm.devices.size() == 1);
    }
}

TEST_CASE("a raid that somebody resumes into our table gets its base, and goes back if the rest fails", "[plan]")
{
    for (const bool fails : {false, true}) {
        World world = raid_world();
        const std::string before = world.state();
        const Plan plan = take_snapshot(world);
        if (fails)
            world.dm.add("dmsnap-s1", "0 8 error\n");
        const Outcome outcome = execute(plan, world.dm, world.host, [&](const std::string& line) {
            if (line.starts_with("swap "))
                world.dm.resume(world.device, Visibility::public_device);
        });
        CHECK(outcome.done() == !fails);
        CHECK(outcome.left_to_do.empty());
        if (fails) {
            world.dm.devices.erase(DmName("dmsnap-s1"));
            CHECK(world.state() == before);
        } else {
            CHECK_FALSE(world.dm.devices[base_name(U)].suspended);
            CHECK_FALSE(world.dm.devices[base_name(U)].live.empty());
        }
    }
}

TEST_CASE("a device that somebody suspends in between stays suspended, and nothing else of the plan stays", "[plan]")
{
    for (const auto& make : {linear_world, segmented_world, raid_world})
        for (const char* moment : {"resume", "swap "}) {
            World world = make();
            const Table before = world.dm.table(world.device);
            const Plan plan = plan_attach(world.machine(), world.candidate(), U);
            bool came = false;
            const Outcome outcome = execute(plan, world.dm, world.host, [&](const std::string& line) {
                if (line.starts_with(moment))
                    came = world.dm.devices[world.device].suspended = true;
            });
            if (!came)
                continue;
            CHECK(outcome.undone());
            CHECK(world.dm.devices.size() == 1);
            CHECK(world.dm.devices[world.device].suspended);
            CHECK(world.dm.devices[world.device].live == before);
            CHECK(world.dm.devices[world.device].inactive.empty());
        }
}

TEST_CASE("neither a removal nor the undo of a renaming touches another device of that name", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    const Machine machine = world.machine();
    const DmName image("dmsnap-s1");
    const std::string uuid = world.dm.devices[image].uuid;
    const Plan remove = plan_remove(machine, {{&machine.origins.at(0), &machine.origins.at(0).points.at(0)}}, false);
    world.dm.devices[image].uuid = "somebody-elses";
    const std::string before = world.state();
    CHECK(world.run(remove).undone());
    CHECK(world.state() == before);
    // The renaming fails because the new name is somebody's, and the old one has no device any more.
    CHECK(world.run({RenameImage{DmName("dmsnap-s0"), image, uuid}}).undone());
    CHECK(world.state() == before);
}
