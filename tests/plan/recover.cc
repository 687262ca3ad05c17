// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

#include "catch.h"
#include "world.h"

#include "ops/change.h"
#include "ops/check.h"
#include "ops/endpoint.h"

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

World without_udev(World world)
{
    world.dm.udev = false;
    return world;
}

World attached(World world)
{
    if (!world.run(plan_attach(world.machine(), world.candidate(), U)).done())
        throw std::runtime_error("not attached");
    return world;
}

World with_checkpoint(World world)
{
    if (!world.run(plan_take(world.machine(), world.candidate(), checkpoint_wish("c1", Q), {})).done())
        throw std::runtime_error("no checkpoint");
    return world;
}

Plan attach(World& world) { return plan_attach(world.machine(), world.candidate(), U); }

Plan create(World& world) { return plan_take(world.machine(), world.candidate(), snapshot_wish(), store_wish()); }

Plan create_in_file(World& world) { return plan_take_in_file(world, snapshot_wish(), file_wish()); }

Plan create_second(World& world) { return plan_take(world.machine(), world.candidate(), snapshot_wish("s2", Q), {}); }

/// Its one snapshot is invalid and has lost its image, but still has its store.
World with_invalid_snapshot()
{
    World world = world_with_snapshot(linear_world());
    world.dm.devices.erase(DmName("dmsnap-s1"));
    for (auto& [uuid, origin] : world.dm.origins)
        origin.points.front().valid = false;
    world.recover(); // as every command begins
    return world;
}

Plan create_elsewhere(World& world)
{
    StoreWish wish = store_wish();
    wish.facts.device.number = {8, 64};
    wish.path = "/dev/sde";
    wish.new_store = R;
    return plan_take(world.machine(), world.candidate(), snapshot_wish("s2", Q), wish);
}

Plan checkpoint(World& world) { return plan_take(world.machine(), world.candidate(), checkpoint_wish("c1", Q), {}); }

/// The first point, or all of its set.
std::vector<FoundPoint> find_first(const Machine& machine)
{
    return find_points(machine, nullptr, machine.origins.at(0).points.at(0).name.text());
}

Plan remove_first(World& world)
{
    const Machine machine = world.machine();
    return plan_remove(machine, find_first(machine), false);
}

Plan release_first(World& world)
{
    const Machine machine = world.machine();
    return plan_remove(machine, find_first(machine), true);
}

Plan rename(World& world)
{
    const Machine machine = world.machine();
    return plan_rename(machine, find_first(machine), PointName("other"));
}

Plan change(World& world)
{
    const Machine machine = world.machine();
    WordsWish wish;
    wish.add.push_back(Tag("daily"));
    wish.data = Blob{1, 2, 3};
    return plan_change(machine, find_first(machine), wish);
}

Plan detach(World& world)
{
    const Machine machine = world.machine();
    return plan_detach(machine, machine.origins.at(0), true);
}

Plan put_mirror_in_place(World& world)
{
    const Candidate candidate = world.candidate();
    return plan_redirect(world.machine(), candidate, U,
        parse_endpoint_table("0 4096 mirror core 1 1024 2 @base@ 0 8:112 0\n", candidate, U), std::chrono::seconds(10));
}

World with_mirror_in_place()
{
    World world = disk_world();
    REQUIRE(world.run(put_mirror_in_place(world)).done());
    return world;
}

Plan put_back(World& world)
{
    const Machine machine = world.machine();
    return plan_direct(machine.endpoints.at(0));
}

Plan create_set(World& world) { return plan_set(world, snapshot_wish(), store_wish()); }

Plan checkpoint_set(World& world) { return plan_set(world, checkpoint_wish("c1", Q), {}); }

World world_with_set(World world = set_world())
{
    REQUIRE(world.run(create_set(world)).done());
    return world;
}

World world_with_set_in_files()
{
    World world = large_set_world();
    REQUIRE(world.run(plan_set_in_files(world)).done());
    return world;
}

const Scenario scenarios[] = {
    {"create a set", set_world, create_set},
    {"create a set where no udevd runs", [] { return without_udev(set_world()); }, create_set},
    {"checkpoint a set", set_world, checkpoint_set},
    {"remove a set", [] { return world_with_set(); }, remove_first},
    {"remove a set where no udevd runs", [] { return world_with_set(without_udev(set_world())); }, remove_first},
    {"keep the points of a set", [] { return world_with_set(); }, release_first},
    {"rename a set", [] { return world_with_set(); }, rename},
    {"rename a set where no udevd runs", [] { return world_with_set(without_udev(set_world())); }, rename},
    {"change a set", [] { return world_with_set(); }, change},
    {"attach a linear device", linear_world, attach},
    {"attach a segmented device", segmented_world, attach},
    {"attach a plain disk", disk_world, attach},
    {"put a mirror in a disk's place", disk_world, put_mirror_in_place},
    {"take a mirror out of a disk's place", with_mirror_in_place, put_back},
    {"create on a plain disk", disk_world, create},
    {"create a second snapshot of a disk", [] { return world_with_snapshot(disk_world()); }, create_second},
    {"checkpoint on a plain disk", disk_world, checkpoint},
    {"remove the last snapshot of a disk", [] { return world_with_snapshot(disk_world()); }, remove_first},
    {"rename a snapshot of a disk", [] { return world_with_snapshot(without_udev(disk_world())); }, rename},
    {"detach a disk", [] { return attached(disk_world()); }, detach},
    {"detach a disk by force", [] { return world_with_snapshot(without_udev(disk_world())); }, detach},
    {"create on a linear device", linear_world, create},
    {"create on a segmented device", segmented_world, create},
    {"create in a file on a linear device", large_linear_world, create_in_file},
    {"create in a file on a segmented device", large_segmented_world, create_in_file},
    {"create in a file on a plain disk", large_disk_world, create_in_file},
    {"remove the last snapshot, in a file", [] { return world_with_file(large_disk_world()); }, remove_first},
    {"remove the last snapshot, in a file, linear", [] { return world_with_file(large_linear_world()); }, remove_first},
    {"remove a set, in files", world_with_set_in_files, remove_first},
    {"detach a disk by force, with a file", [] { return world_with_file(large_disk_world()); }, detach},
    {"detach by force, with a file, segmented", [] { return world_with_file(large_segmented_world()); }, detach},
    {"create where no udevd runs", [] { return without_udev(linear_world()); }, create},
    {"create on an attached device", [] { return attached(segmented_world()); }, create},
    {"create a second snapshot", [] { return world_with_snapshot(linear_world()); }, create_second},
    {"create with another store", with_invalid_snapshot, create_elsewhere},
    {"checkpoint", segmented_world, checkpoint},
    {"checkpoint on an attached device", [] { return attached(linear_world()); }, checkpoint},
    {"remove the last snapshot", [] { return world_with_snapshot(linear_world()); }, remove_first},
    {"remove where no udevd runs", [] { return world_with_snapshot(without_udev(segmented_world())); }, remove_first},
    {"remove a checkpoint", [] { return with_checkpoint(linear_world()); }, remove_first},
    {"keep the point of the last snapshot", [] { return world_with_snapshot(linear_world()); }, release_first},
    {"attach a raid device", raid_world, attach},
    {"create on a raid device", raid_world, create},
    {"detach a raid device", [] { return world_with_snapshot(raid_world()); }, detach},
    {"rename a snapshot", [] { return world_with_snapshot(segmented_world()); }, rename},
    {"rename where no udevd runs", [] { return world_with_snapshot(without_udev(linear_world())); }, rename},
    {"rename a checkpoint", [] { return with_checkpoint(linear_world()); }, rename},
    {"change tags and data", [] { return world_with_snapshot(linear_world()); }, change},
    {"detach", [] { return attached(segmented_world()); }, detach},
    {"detach with a checkpoint", [] { return with_checkpoint(linear_world()); }, detach},
    {"detach by force, linear", [] { return world_with_snapshot(linear_world()); }, detach},
    {"detach by force, segmented", [] { return world_with_snapshot(segmented_world()); }, detach},
    {"detach by force where no udevd runs", [] { return world_with_snapshot(without_udev(linear_world())); }, detach},
};

struct Ends {
    std::string before;
    std::string done;
    unsigned moments;
};

Ends ends_of(const Scenario& scenario)
{
    World world = scenario.make();
    Ends ends{world.state(), {}, 0};
    const unsigned before = world.dm.trouble.moments();
    REQUIRE(world.run(scenario.plan(world)).done());
    ends.done = world.state();
    ends.moments = world.dm.trouble.moments() - before;
    return ends;
}

void check_recovered(World& world, const Ends& ends)
{
    const Reconciled reconciled = world.recover();
    CHECK(reconciled.failed.empty());
    CHECK(reconciled.in_the_way.empty());
    const std::string state = world.state();
    if (state != ends.before)
        CHECK(state == ends.done);
    const Recovery rest = plan_recover(world.machine());
    CHECK(rest.repairs.empty());
}

/// Undoing what was attached for it, one after the other, undoes its points: see doc/design.md.
bool takes_set(const Scenario& scenario)
{
    const std::string_view name = scenario.name;
    return name.starts_with("create a set") || name.starts_with("checkpoint a set");
}

/// Each call fails, and the program dies at each moment of what follows; `check` sees what that leaves.
void for_each_death_undoing(const Scenario& scenario, const Ends& ends, const std::function<void(World& world)>& check)
{
    for (unsigned call = 1; call <= ends.moments / 2; ++call)
        for (unsigned moment = 1;; ++moment) {
            INFO(scenario.name << ", call " << call << " fails, dies at moment " << moment);
            World world = scenario.make();
            const Plan plan = scenario.plan(world);
            world.dm.trouble.fail_at(world.dm.trouble.calls() + call);
            world.dm.trouble.die_at(moment);
            try {
                if (world.run(plan).undone())
                    CHECK(world.state() == ends.before);
                break; // it has come to its end before
            } catch (const Killed&) {
            }
            check(world);
        }
}

std::optional<FoundPoint> any_point(const Machine& machine)
{
    for (const OriginState& origin : machine.origins)
        if (!origin.points.empty())
            return FoundPoint{&origin, &origin.points.front()};
    return std::nullopt;
}

std::string plans_of(const Recovery& recovery)
{
    std::string text;
    for (const Repair& repair : recovery.repairs)
        text += to_text(repair.plan);
    return text;
}

} // namespace

TEST_CASE("a plan that dies at any moment ends, after recover, where it began or finished", "[plan]")
{
    for (const Scenario& scenario : scenarios) {
        const Ends ends = ends_of(scenario);
        REQUIRE(ends.moments >= 2);
        for (unsigned moment = 1; moment <= ends.moments; ++moment) {
            INFO(scenario.name << ", moment " << moment);
            World world = scenario.make();
            const Plan plan = scenario.plan(world);
            world.dm.trouble.die_at(moment);
            CHECK_THROWS_AS(world.run(plan), Killed);
            check_recovered(world, ends);
        }
    }
}

TEST_CASE("a plan that dies while it undoes what failed ends, after recover, where it began or finished", "[plan]")
{
    for (const Scenario& scenario : scenarios) {
        const Ends ends = ends_of(scenario);
        if (!takes_set(scenario))
            for_each_death_undoing(scenario, ends, [&](World& world) { check_recovered(world, ends); });
    }
}

TEST_CASE("a set that dies while it undoes what failed leaves, after recover, nothing but whole snapshots", "[plan]")
{
    const auto check_whole = [](World& world) {
        const Reconciled reconciled = world.recover();
        CHECK(reconciled.failed.empty());
        CHECK(reconciled.in_the_way.empty());
        CHECK(plan_recover(world.machine()).repairs.empty());
        // What is left of it goes by its name.
        for (Machine machine = world.machine(); const auto left = any_point(machine); machine = world.machine()) {
            CHECK((left->point->kind == PointKind::checkpoint || left->origin->image_of(*left->point) != nullptr));
            const auto all = find_points(machine, nullptr, left->point->name.text());
            REQUIRE(world.run(plan_remove(machine, all, false)).done());
        }
    };
    for (const Scenario& scenario : scenarios)
        if (takes_set(scenario))
            for_each_death_undoing(scenario, ends_of(scenario), check_whole);
}

TEST_CASE("a recover that dies is carried on by the next one", "[plan]")
{
    for (const Scenario& scenario : scenarios) {
        const Ends ends = ends_of(scenario);
        for (unsigned moment = 1; moment <= ends.moments; ++moment)
            for (unsigned second = 1;; ++second) {
                INFO(scenario.name << ", moments " << moment << " and " << second);
                World world = scenario.make();
                const Plan plan = scenario.plan(world);
                world.dm.trouble.die_at(moment);
                CHECK_THROWS_AS(world.run(plan), Killed);
                world.dm.trouble.die_at(second);
                const auto look = [&] { return world.machine(); };
                try {
                    reconcile(world.dm, world.host, look, nobody_else);
                    break;
                } catch (const Killed&) {
                }
                check_recovered(world, ends);
            }
    }
}

TEST_CASE("recover changes nothing where nothing was left", "[plan]")
{
    for (World world : {linear_world(), attached(linear_world()), world_with_snapshot(segmented_world()),
             with_checkpoint(segmented_world()), attached(disk_world()), world_with_snapshot(disk_world())}) {
        const std::string before = world.state();
        const Recovery recovery = plan_recover(world.machine());
        CHECK(plans_of(recovery).empty());
        CHECK(recovery.in_the_way.empty());
        world.recover();
        CHECK(world.state() == before);
    }
}

TEST_CASE("recover names what is somebody else's and leaves it alone", "[plan]")
{
    World world = world_with_snapshot(segmented_world());
    FakeDevice& live = world.dm.devices[world.device];
    SECTION("a table loaded beside ours")
    {
        live.inactive = parse_table("0 8192 linear 8:16 0\n");
        const Recovery recovery = plan_recover(world.machine());
        CHECK(plans_of(recovery).empty());
        REQUIRE(recovery.in_the_way.size() == 1);
        CHECK(recovery.in_the_way.front().device == "vg-home");
        CHECK(recovery.in_the_way.front().next_step.find("dmsetup clear 'vg-home'") == 0);
    }
    SECTION("a device that is suspended")
    {
        live.suspended = true;
        const Recovery recovery = plan_recover(world.machine());
        CHECK(plans_of(recovery).empty());
        REQUIRE(recovery.in_the_way.size() == 1);
        CHECK(recovery.in_the_way.front().what == "it is suspended");
    }
    SECTION("a device that has the name of an image")
    {
        world.dm.devices[DmName("dmsnap-s1")] = {"", {253, 99}, parse_table("0 8 error\n"), {}, false, false};
        const Recovery recovery = plan_recover(world.machine());
        CHECK(plans_of(recovery).empty());
        REQUIRE(recovery.in_the_way.size() == 1);
        CHECK(recovery.in_the_way.front().device == "dmsnap-s1");
    }
    SECTION("a leftover that somebody has open")
    {
        world.dm.add("dmsnap-base-dddddddd", "0 8 linear 8:16 0\n");
        world.dm.devices[DmName("dmsnap-base-dddddddd")].uuid = base_uuid(Q);
        const DeviceNumber base = world.dm.devices[DmName("dmsnap-base-dddddddd")].number;
        world.dm.add("on-it", "0 8 linear " + base.text() + " 0\n");
        const Recovery recovery = plan_recover(world.machine());
        CHECK(plans_of(recovery).empty());
        REQUIRE(recovery.in_the_way.size() == 1);
        CHECK(recovery.in_the_way.front().device == "dmsnap-base-dddddddd");
    }
}

TEST_CASE("a device that is attached for good stays attached without points", "[plan]")
{
    World world = attached(linear_world());
    CHECK(plan_recover(world.machine()).repairs.empty());
    World left = linear_world();
    left.run({plan_take(left.machine(), left.candidate(), checkpoint_wish("c1", Q), {}).at(0),
        plan_take(left.machine(), left.candidate(), checkpoint_wish("c1", Q), {}).at(1)});
    REQUIRE(left.machine().origins.at(0).line.provisional);
    CHECK(plans_of(plan_recover(left.machine())) == "load    vg-home  0 4096 linear 8:16 384\n"
                                                    "resume  vg-home\n");
}

TEST_CASE("an image that is made again after its device grew has the length of its point", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    world.dm.devices[world.device].live.front().length = 8192_s;
    world.dm.devices.erase(DmName("dmsnap-s1"));
    world.recover();
    REQUIRE(world.dm.devices.count(DmName("dmsnap-s1")) == 1);
    CHECK(length(world.dm.devices[DmName("dmsnap-s1")].live) == 4096_s);
}

TEST_CASE("an image whose table somebody replaced is removed, and made again if its point is valid", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    const std::string before = world.state();
    world.dm.devices[DmName("dmsnap-s1")].live = parse_table("0 4096 error\n");
    world.recover();
    CHECK(world.state() == before);

    world.dm.devices[DmName("dmsnap-s1")].live = parse_table("0 4096 error\n");
    world.dm.origins[U].points.front().valid = false;
    world.recover();
    CHECK(world.dm.devices.count(DmName("dmsnap-s1")) == 0);
}

TEST_CASE("an origin that cannot be read is not taken for one that is gone", "[plan]")
{
    World world = world_with_snapshot(segmented_world());
    world.dm.mute.insert(world.device);
    const Machine machine = world.machine();
    REQUIRE(machine.why_unread(world.device) != nullptr);
    CHECK(machine.why_unread(world.device)->number() == ENOMEM);
    CHECK(machine.gone.empty());
    const Recovery recovery = plan_recover(machine);
    CHECK(recovery.repairs.empty());
    REQUIRE(recovery.in_the_way.size() == 1);
    CHECK(recovery.in_the_way[0].device == "vg-home");
}

TEST_CASE("an image that is valid belongs to an origin that is there", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    world.dm.origins.at(U).generation = S;
    world.dm.devices.at(world.device).live = parse_table("0 4096 linear 8:16 384");
    CHECK(world.machine().gone.empty()); // the kernel is about to tell
    world.dm.origins.clear();
    CHECK(world.machine().gone.size() == 1);
}

TEST_CASE("a raid that a swap given up half-way left suspended is found by its base, and goes on", "[plan]")
{
    World world = raid_world();
    const std::string before = world.state();
    const Plan plan = attach(world);
    REQUIRE(world.run({plan.at(0)}).done());
    world.dm.devices[world.device].suspended = true; // and what was loaded beside it is cleared
    world.dm.devices[base_name(U)].suspended = true;
    const Recovery recovery = plan_recover(world.machine());
    CHECK(plans_of(recovery) == "wake    vg-home\n"
                                "remove  dmsnap-base-aaaaaaaa\n");
    CHECK_FALSE(find_problems(world.machine(), nullptr).empty());
    world.recover();
    CHECK(world.state() == before);

    World stranger = raid_world();
    REQUIRE(stranger.run({plan.at(0)}).done());
    FakeDevice& live = stranger.dm.devices[stranger.device];
    live.suspended = true;
    stranger.dm.devices[base_name(U)].suspended = true;
    live.inactive = parse_table("0 8192 linear 8:16 0\n");
    CHECK(plans_of(plan_recover(stranger.machine())).empty());
    CHECK(plan_recover(stranger.machine()).in_the_way.size() == 1);
}

TEST_CASE("a raid that somebody resumed into our table before its base ever ran goes on", "[plan]")
{
    for (const AttachFor purpose : {AttachFor::good, AttachFor::first_point}) {
        World world = raid_world();
        const std::string before = world.state();
        const Plan plan = plan_attach(world.machine(), world.candidate(), U, {.purpose = purpose});
        World whole = world;
        REQUIRE(whole.run(plan).done());
        REQUIRE(world.run(Plan(plan.begin(), plan.end() - 1)).done());
        world.dm.resume(world.device, Visibility::public_device);
        REQUIRE(world.dm.devices[base_name(U)].live.empty());
        world.recover();
        CHECK(world.state() == (purpose == AttachFor::first_point ? before : whole.state()));
    }
}

TEST_CASE("a leg that fails while a dead command's swap waits takes the swap back", "[plan]")
{
    for (const bool detach : {false, true}) {
        World world = detach ? attached(raid_world()) : raid_world();
        const std::string before = world.state();
        const Plan plan = detach ? plan_detach(world.machine(), world.machine().origins.at(0), false) : attach(world);
        REQUIRE(world.run(Plan(plan.begin(), plan.begin() + (detach ? 1 : 2))).done());
        world.dm.devices[world.device].suspended = true;
        REQUIRE(plans_of(plan_recover(world.machine())).starts_with("swap "));
        world.dm.legs = "AD";
        world.recover();
        world.dm.legs = "AA";
        CHECK(world.state() == before);
    }
}

TEST_CASE("a raid's base that was left suspended below an attached device goes on", "[plan]")
{
    for (bool both : {false, true}) {
        World world = attached(raid_world());
        const std::string before = world.state();
        world.dm.devices[base_name(U)].suspended = true;
        world.dm.devices[world.device].suspended = both;
        CHECK(plan_recover(world.machine()).in_the_way.empty());
        world.recover();
        CHECK(world.state() == before);
    }
}

TEST_CASE("what somebody is busy with does not keep the rest from being mended", "[plan]")
{
    World world = linear_world();
    const Plan plan = attach(world);
    REQUIRE(world.run({plan.begin(), plan.end() - 1}).done()); // all but the swap
    const FakeDevice loaded = world.dm.devices[world.device];
    REQUIRE_FALSE(loaded.inactive.empty());
    world.dm.create({store_name(S), store_uuid(S), parse_table("0 4096 interpose-store 8:32 0\n"),
        Visibility::private_device, false});
    const auto look = [&] { return world.machine(); };
    const BarOthers bar = {[](const DmInfo&) { return false; },
        [&](const DmInfo& live) {
            CHECK(world.dm.devices.count(store_name(S)) == 0); // no other repair waits
            throw Error(live.name.text(), "lock it", "LVM is at work on it");
        }};
    const Reconciled reconciled = reconcile(world.dm, world.host, look, bar);
    REQUIRE(reconciled.failed.size() == 1);
    CHECK(reconciled.failed[0].reason() == "LVM is at work on it");
    CHECK(world.dm.devices[world.device] == loaded);
    REQUIRE(reconciled.done.size() == 1);
    CHECK(world.dm.devices.count(store_name(S)) == 0);
}
