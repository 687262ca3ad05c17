// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

#include "catch.h"
#include "world.h"

#include "ops/check.h"
#include "ops/endpoint.h"
#include "ops/mirror.h"
#include "ops/naming.h"
#include "ops/recover.h"

#include <set>

using namespace dmsnap;
using namespace dmsnap::test;

namespace {

constexpr std::chrono::milliseconds deadline{10000};
constexpr DeviceNumber target{8, 112};
const DmName end("dmsnap-end-aaaaaaaa");
const DmName leg("dmsnap-leg-aaaaaaaa");

Plan begin(World& world)
{
    return plan_mirror(world.machine(), world.candidate(), U, {target, "/dev/sdh", {target}}, deadline);
}

const EndpointState& endpoint_of(const Machine& machine)
{
    REQUIRE(machine.endpoints.size() == 1);
    return machine.endpoints.front();
}

using Make = Plan (*)(const EndpointState&);

Plan direct(const EndpointState& endpoint) { return plan_end(endpoint); }

Plan swap(const EndpointState& endpoint) { return plan_swap(endpoint, true); }

Plan plan(World& world, Make make)
{
    const Machine machine = world.machine();
    return make(endpoint_of(machine));
}

World mirrored()
{
    World world = disk_world();
    REQUIRE(world.run(begin(world)).done());
    world.dm.legs = "Aa";
    world.dm.synced = "1024/4096";
    return world;
}

World in_sync()
{
    World world = mirrored();
    world.dm.legs = "AA";
    world.dm.synced = "4096/4096";
    return world;
}

World completed()
{
    World world = in_sync();
    REQUIRE(world.run(plan(world, plan_complete)).done());
    return world;
}

MirrorState state_of(World& world)
{
    const Machine machine = world.machine();
    const auto mirror = mirror_of(endpoint_of(machine));
    REQUIRE(mirror);
    return *mirror;
}

} // namespace

TEST_CASE("a mirror's target carries nothing at its ends until all between them is in sync", "[plan]")
{
    World world = disk_world();
    const std::string before = world.state();
    const Plan beginning = begin(world);
    CHECK(
        to_text(beginning) ==
        "blank   /dev/sdh  both ends\n"
        "create  dmsnap-base-aaaaaaaa  DMSNAP-aaaaaaaa-1111-4111-8111-111111111111-base  0 4096 interpose-base 8:1 0\n"
        "create  dmsnap-leg-aaaaaaaa  DMSNAP-aaaaaaaa-1111-4111-8111-111111111111-leg  0 1024 linear "
        "@dmsnap-base-aaaaaaaa 0; 1024 2048 linear 8:112 1024; 3072 1024 linear @dmsnap-base-aaaaaaaa 3072\n"
        "create  dmsnap-meta-aaaaaaaa  DMSNAP-aaaaaaaa-1111-4111-8111-111111111111-meta  0 131072 zero\n"
        "create  dmsnap-end-aaaaaaaa  DMSNAP-aaaaaaaa-1111-4111-8111-111111111111-end  "
        "0 8 linear @dmsnap-base-aaaaaaaa 0; 8 4088 linear @dmsnap-base-aaaaaaaa 8\n"
        "sync    /home\n"
        "message dmsnap-base-aaaaaaaa  redirect @dmsnap-end-aaaaaaaa 10000 253:0\n"
        "load    dmsnap-end-aaaaaaaa  0 4096 raid raid1 5 0 rebuild 1 min_recovery_rate 51200 2 @dmsnap-meta-aaaaaaaa "
        "@dmsnap-base-aaaaaaaa @dmsnap-meta-aaaaaaaa @dmsnap-leg-aaaaaaaa\n"
        "resume  dmsnap-end-aaaaaaaa\n");
    REQUIRE(world.run(beginning).done());
    world.dm.legs = "Aa";
    world.dm.synced = "1024/4096";
    MirrorState mirror = state_of(world);
    CHECK(mirror.target == target);
    CHECK(mirror.raid.synced == Sectors{1024});
    CHECK_FALSE(mirror.in_sync());
    CHECK_FALSE(mirror.whole);
    CHECK_FALSE(mirror.target_failed());
    CHECK(error_of([&] { plan(world, plan_complete); }).reason() == "its mirror is not in sync yet");
    CHECK(plan_recover(world.machine()).repairs.empty());
    CHECK(find_problems(world.machine()).empty());
    world.dm.legs = "AA";
    world.dm.synced = "4096/4096";
    CHECK(error_of([&] { plan(world, plan_split); }).reason() == "the ends of its mirror are still to be copied");
    CHECK(error_of([&] { plan(world, swap); }).reason() == "the ends of its mirror are still to be copied");
    const Plan completing = plan(world, plan_complete);
    CHECK(to_text(completing) ==
          "load    dmsnap-leg-aaaaaaaa  0 4096 linear 8:112 0\n"
          "swap    dmsnap-end-aaaaaaaa  quiet, AA, ends of /dev/mapper/dmsnap-base-aaaaaaaa to /dev/sdh, with "
          "dmsnap-leg-aaaaaaaa\n");
    REQUIRE(world.run(completing).done());
    // Its beginning comes last, and of that what says what it is.
    CHECK(world.dm.copied == std::vector<Run>{{{3072}, {1024}}, {{8}, {1016}}, {{0}, {8}}});
    CHECK(state_of(world).whole);
    CHECK(plan_recover(world.machine()).repairs.empty());
    REQUIRE(world.run(plan(world, direct)).done());
    CHECK(world.state() == before);
}

TEST_CASE("a mirror is split off, or swapped in, at a moment at which both are the same", "[plan]")
{
    const std::string before = disk_world().state();
    World split = completed();
    REQUIRE(split.run(plan(split, plan_split)).done());
    CHECK(split.state() == before);

    World swapped = completed();
    CHECK(to_text(plan(swapped, swap)) == "load    dmsnap-meta-aaaaaaaa  0 65536 zero; 65536 65536 zero\n"
                                          "resume  dmsnap-meta-aaaaaaaa\n"
                                          "load    dmsnap-end-aaaaaaaa  0 4096 linear 8:112 0\n"
                                          "swap    dmsnap-end-aaaaaaaa  quiet, AA\n"
                                          "erase   /dev/mapper/dmsnap-base-aaaaaaaa  what it is found by\n"
                                          "remove  dmsnap-meta-aaaaaaaa\n"
                                          "remove  dmsnap-leg-aaaaaaaa\n");
    REQUIRE(swapped.run(plan(swapped, swap)).done());
    const Machine machine = swapped.machine();
    CHECK(serves_in_place(endpoint_of(machine)) == target);
    CHECK(swapped.host.erased == std::vector<std::string>{"/dev/mapper/dmsnap-base-aaaaaaaa"});
    CHECK_FALSE(mirror_of(endpoint_of(machine)));
    CHECK(error_of([&] { plan_direct(endpoint_of(machine)); }).reason() == "it runs on 8:112, and its own data is old");
    CHECK(plan_recover(machine).repairs.empty());
    CHECK(find_problems(machine).empty());
    REQUIRE(swapped.run(plan_direct(endpoint_of(machine), false)).done());
    CHECK(swapped.state() == before);
}

TEST_CASE("a leg that fails is never taken for a good one", "[plan]")
{
    for (const auto& [legs, next] :
        {std::pair{"AD", "dmsnap detach '8:1'"}, std::pair{"DA", "dmsnap mirror --swap '8:1'"}}) {
        INFO(legs);
        World world = completed();
        world.dm.legs = legs;
        const auto problems = find_problems(world.machine());
        REQUIRE(problems.size() == 1);
        CHECK(problems.front().next_step == next);
        CHECK_THROWS_AS(plan(world, plan_split), Error);
        if (legs[0] == 'A') {
            CHECK_THROWS_AS(plan(world, swap), Error);
            // What is there is old from now on, and goes before it could be taken for a copy.
            const std::string ended = to_text(plan(world, direct));
            CHECK(ended.find("load    dmsnap-leg-aaaaaaaa  0 1024 linear") == 0);
            CHECK(ended.find("blank   /dev/sdh") < ended.find("load    dmsnap-end-aaaaaaaa"));
            REQUIRE(world.run(plan(world, direct)).done());
            CHECK(world.host.blanked.size() == 2);
            CHECK(world.machine().endpoints.empty());
        } else {
            CHECK_NOTHROW(plan(world, swap));
            CHECK_THROWS_AS(plan(world, direct), Error);
        }
    }
    // At the last moment, when nobody looks any more.
    for (Make make : {Make(plan_complete), Make(plan_split), Make(swap)}) {
        World world = make == Make(plan_complete) ? in_sync() : completed();
        const std::string before = world.state();
        const Plan steps = plan(world, make);
        world.dm.legs = "AD";
        const Outcome outcome = world.run(steps);
        REQUIRE(outcome.error);
        CHECK(outcome.undone());
        CHECK(world.state() == before);
    }
}

TEST_CASE("whatever fails in a step of a mirror, it is done or was not begun", "[plan]")
{
    for (Make make : {Make(plan_complete), Make(plan_split), Make(swap)}) {
        const auto start = [&] { return make == Make(plan_complete) ? in_sync() : completed(); };
        World whole = start();
        const std::string before = whole.state();
        const unsigned calls = whole.dm.trouble.calls();
        REQUIRE(whole.run(plan(whole, make)).done());
        const std::string after = whole.state();
        for (unsigned call = 1; call <= whole.dm.trouble.calls() - calls; ++call)
            for (Trouble::When when : {Trouble::When::before, Trouble::When::after}) {
                INFO("call " << call);
                World world = start();
                const Plan steps = plan(world, make);
                world.dm.trouble.fail_at(world.dm.trouble.calls() + call, when);
                const Outcome outcome = world.run(steps);
                const bool undone = outcome.undone() && world.state() == before;
                const bool done = outcome.done() && world.state() == after;
                CHECK((undone || done || !outcome.left_to_do.empty()));
                world.recover();
                CHECK((world.state() == before || world.state() == after));
                CHECK(find_problems(world.machine()).empty());
            }
    }
}

TEST_CASE("whatever fails while a mirror begins, it ends where it began", "[plan]")
{
    World whole = disk_world();
    const unsigned before = whole.dm.trouble.calls();
    REQUIRE(whole.run(begin(whole)).done());
    const unsigned calls = whole.dm.trouble.calls() - before;
    for (unsigned call = 1; call <= calls; ++call) {
        INFO("call " << call);
        World world = disk_world();
        const std::string state = world.state();
        const Plan steps = begin(world);
        world.dm.trouble.fail_at(world.dm.trouble.calls() + call);
        CHECK(world.run(steps).undone());
        CHECK(world.state() == state);
    }
}

TEST_CASE("a mirror's step that died is mended, wherever it stood", "[plan]")
{
    for (Make make : {Make(plan_complete), Make(plan_split), Make(swap)}) {
        const auto start = [&] { return make == Make(plan_complete) ? in_sync() : completed(); };
        World whole = start();
        const unsigned moments = whole.dm.trouble.moments();
        REQUIRE(whole.run(plan(whole, make)).done());
        for (unsigned moment = 1; moment <= whole.dm.trouble.moments() - moments; ++moment) {
            INFO("moment " << moment);
            World world = start();
            const Plan steps = plan(world, make);
            world.dm.trouble.die_at(moment);
            CHECK_THROWS_AS(world.run(steps), Killed);
            world.dm.trouble.live_on();
            world.recover();
            CHECK(find_problems(world.machine()).empty());
            const auto erased = world.host.erased.size();
            const Machine machine = world.machine();
            if (make == Make(swap) && serves_in_place(endpoint_of(machine)))
                CHECK(erased >= 1);
            else
                CHECK(erased == 0);
            for (const auto& [name, device] : world.dm.devices) {
                CHECK_FALSE(device.suspended);
                CHECK(device.inactive.empty());
            }
        }
    }
}

TEST_CASE("a mirror that died while it began leaves nothing", "[plan]")
{
    World whole = disk_world();
    const std::string before = whole.state();
    const unsigned moments = whole.dm.trouble.moments();
    REQUIRE(whole.run(begin(whole)).done());
    const std::string after = whole.state();
    for (unsigned moment = 1; moment <= whole.dm.trouble.moments() - moments; ++moment) {
        INFO("moment " << moment);
        World world = disk_world();
        const Plan steps = begin(world);
        world.dm.trouble.die_at(moment);
        CHECK_THROWS_AS(world.run(steps), Killed);
        world.dm.trouble.live_on();
        world.recover();
        const std::string state = world.state();
        CHECK((state == before || state == after));
    }
}

TEST_CASE("of one device, check tells what is its own, and what is nobody's", "[plan]")
{
    World mirror = completed();
    mirror.dm.legs = "AD";
    const Machine mirrors = mirror.machine();
    World lost = world_with_snapshot(segmented_world());
    lost.dm.origins.at(U).lost = true;
    lost.dm.prepare(
        {base_name(Q), base_uuid(Q), parse_table("0 8 linear 8:16 0\n"), Visibility::private_device, false});
    Machine machine = lost.machine();
    machine.endpoints = mirrors.endpoints;

    const auto devices = [](const std::vector<Problem>& problems) {
        std::set<std::string> names;
        for (const Problem& problem : problems)
            names.insert(problem.device);
        return names;
    };
    const std::string origin = machine.origins.at(0).device().text();
    const std::string mirrored = machine.endpoints.at(0).device().text();
    const std::string needless = base_name(Q).text();
    CHECK(devices(find_problems(machine)) == std::set{origin, mirrored, needless});
    CHECK(devices(find_problems(machine, &machine.origins.at(0))) == std::set{origin, needless});
    CHECK(devices(find_problems_of(machine, machine.endpoints.at(0))) == std::set{mirrored, needless});
    CHECK(devices(find_orphans(machine)) == std::set{needless});
}

TEST_CASE("a mirror that its device cannot be copied to, or has outgrown, is told of and ended", "[plan]")
{
    World stuck = mirrored();
    stuck.dm.synced = "4096/4096";
    CHECK(state_of(stuck).stuck());
    const auto problems = find_problems(stuck.machine());
    REQUIRE(problems.size() == 1);
    CHECK(problems.front().what.find("cannot be read everywhere") != std::string::npos);
    CHECK_THROWS_AS(plan(stuck, plan_complete), Error);
    REQUIRE(stuck.run(plan(stuck, direct)).done());
    CHECK(stuck.host.blanked.size() == 2);

    World grown = completed();
    Machine machine = grown.machine();
    EndpointState endpoint = endpoint_of(machine);
    REQUIRE(endpoint.live);
    endpoint.live->size = {8192};
    for (const auto& make : {Make(plan_split), Make(swap)})
        CHECK(error_of([&] { make(endpoint); }).reason() == "it has another size than its mirror");
    endpoint.live->size = {4096};
    endpoint.takes_bios = false;
    CHECK(error_of([&] { plan_split(endpoint); }).reason() == "what is written does not go to its mirror");
}
