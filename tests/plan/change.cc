// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

#include "catch.h"
#include "world.h"

#include "ops/change.h"

using namespace dmsnap;
using namespace dmsnap::test;

namespace {

Plan rename_s1(World& world, const std::string& name)
{
    const Machine machine = world.machine();
    const OriginState& origin = machine.origins.at(0);
    return plan_rename(machine, {{&origin, origin.find(PointName("s1"))}}, PointName(name));
}

Plan change_s1(World& world, const WordsWish& wish)
{
    const Machine machine = world.machine();
    const OriginState& origin = machine.origins.at(0);
    return plan_change(machine, {{&origin, origin.find(PointName("s1"))}}, wish);
}

} // namespace

TEST_CASE("rename gives the point its name first, then its image", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    CHECK(to_text(rename_s1(world, "monday")) ==
          "message vg-home  change aaaaaaaa-1111-4111-8111-111111111111 1 monday = =\n"
          "rename  dmsnap-s1  dmsnap-monday\n");
    world.dm.udev = false;
    CHECK(to_text(rename_s1(world, "monday")) ==
          "message vg-home  change aaaaaaaa-1111-4111-8111-111111111111 1 monday = =\n"
          "rename  dmsnap-s1  dmsnap-monday\n"
          "unlink  /dev/dmsnap/s1/vg-home\n"
          "link    /dev/dmsnap/monday/vg-home  dmsnap-monday\n");
}

TEST_CASE("rename ends where it began or with the new name, whatever fails", "[plan]")
{
    for (bool udev : {true, false}) {
        for (unsigned call = 1; call <= (udev ? 2U : 4U); ++call) {
            for (Trouble::When when : {Trouble::When::before, Trouble::When::after}) {
                World world = world_with_snapshot(linear_world());
                world.dm.udev = udev;
                world.host.links = {"/dev/dmsnap/s1/vg-home"};
                const std::string before = world.state();
                const Plan plan = rename_s1(world, "monday");
                world.dm.trouble.fail_at(world.dm.trouble.calls() + call, when);
                const Outcome outcome = world.run(plan);
                INFO("call " << call);
                CHECK(outcome.undone());
                CHECK(world.state() == before);
            }
        }
    }
}

TEST_CASE("rename refuses a name that is taken or makes no sense", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    REQUIRE(world.run(plan_take(world.machine(), world.candidate(), checkpoint_wish("c1", Q), {})).done());
    world.dm.add("dmsnap-other", "0 8 error\n");
    CHECK(rename_s1(world, "s1").empty());
    CHECK(error_of([&] { rename_s1(world, "c1"); }).reason() == "it has a point of that name");
    CHECK(error_of([&] { rename_s1(world, "other"); }).reason() == "a device-mapper device \"dmsnap-other\" exists");
    CHECK(error_of([&] { rename_s1(world, Q.text()); }).fault() == Fault::usage);
    CHECK(error_of([&] { rename_s1(world, std::string(121, 'x')); }).fault() == Fault::usage);
}

TEST_CASE("change sends what differs and nothing else", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    const Plan plan = change_s1(world, {{Tag("daily"), Tag("web/1"), Tag("daily")}, {Tag("none")}, Blob{1, 2}});
    CHECK(to_text(plan) == "message vg-home  change aaaaaaaa-1111-4111-8111-111111111111 1 = daily,web/1 0102\n");
    REQUIRE(world.run(plan).done());
    CHECK(change_s1(world, {{Tag("web/1")}, {}, Blob{1, 2}}).empty());
    CHECK(to_text(change_s1(world, {{}, {Tag("daily")}, {}})) ==
          "message vg-home  change aaaaaaaa-1111-4111-8111-111111111111 1 = web/1 =\n");
    CHECK(to_text(change_s1(world, {{}, {Tag("daily"), Tag("web/1")}, Blob{}})) ==
          "message vg-home  change aaaaaaaa-1111-4111-8111-111111111111 1 = - -\n");
}

TEST_CASE("a point whose device lost its table can be neither renamed nor changed", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    world.dm.load(world.device, parse_table("0 4096 linear 8:16 384\n"));
    world.dm.resume(world.device, Visibility::public_device);
    const Machine machine = world.machine();
    const OriginState& gone = machine.gone.at(0);
    CHECK_THROWS_AS(plan_rename(machine, {{&gone, &gone.points.at(0)}}, PointName("x")), Error);
    CHECK_THROWS_AS(plan_change(machine, {{&gone, &gone.points.at(0)}}, {{Tag("x")}, {}, {}}), Error);
}

TEST_CASE("a point is taken with its tags", "[plan]")
{
    World world = linear_world();
    SoleWish wish = checkpoint_wish("c1", Q);
    wish.tags = Tags::from_text("daily,web/1");
    const std::string plan = to_text(plan_take(world.machine(), world.candidate(), wish, {}));
    CHECK(plan.ends_with("take dddddddd-4444-4444-8444-444444444444 checkpoint c1 - 10000 253:0 daily,web/1\n"));
}
