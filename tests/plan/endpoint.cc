// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

#include "catch.h"
#include "world.h"

#include "ops/endpoint.h"
#include "ops/recover.h"

using namespace dmsnap;
using namespace dmsnap::test;

namespace {

constexpr std::chrono::milliseconds deadline{10000};
const std::string mirror = "0 4096 mirror core 1 1024 2 @base@ 0 8:112 0\n";

Plan redirect(World& world, const std::string& text = mirror)
{
    const Candidate candidate = world.candidate();
    return plan_redirect(world.machine(), candidate, U, parse_endpoint_table(text, candidate, U), deadline);
}

World redirected(const std::string& text = mirror)
{
    World world = disk_world();
    REQUIRE(world.run(redirect(world, text)).done());
    return world;
}

} // namespace

TEST_CASE("a table in a device's place begins and ends with one that does nothing", "[plan]")
{
    World world = disk_world();
    const std::string before = world.state();
    const Plan plan = redirect(world);
    CHECK(
        to_text(plan) ==
        "create  dmsnap-base-aaaaaaaa  DMSNAP-aaaaaaaa-1111-4111-8111-111111111111-base  0 4096 interpose-base 8:1 0\n"
        "create  dmsnap-end-aaaaaaaa  DMSNAP-aaaaaaaa-1111-4111-8111-111111111111-end  "
        "0 8 linear @dmsnap-base-aaaaaaaa 0; 8 4088 linear @dmsnap-base-aaaaaaaa 8\n"
        "sync    /home\n"
        "message dmsnap-base-aaaaaaaa  redirect @dmsnap-end-aaaaaaaa 10000 253:0\n"
        "load    dmsnap-end-aaaaaaaa  0 4096 mirror core 1 1024 2 @dmsnap-base-aaaaaaaa 0 8:112 0\n"
        "resume  dmsnap-end-aaaaaaaa\n");
    REQUIRE(world.run(plan).done());
    const Machine machine = world.machine();
    REQUIRE(machine.endpoints.size() == 1);
    const EndpointState* endpoint = machine.find_endpoint({8, 1});
    REQUIRE(endpoint != nullptr);
    CHECK(endpoint->takes_bios);
    CHECK(plan_recover(machine).repairs.empty());
    CHECK(plan_recover(machine).in_the_way.empty());

    const std::string base = world.dm.info(DmName("dmsnap-base-aaaaaaaa"))->number.text();
    const Plan back = plan_direct(*endpoint);
    CHECK(to_text(back) == "load    dmsnap-end-aaaaaaaa  0 8 linear " + base + " 0; 8 4088 linear " + base +
                               " 8\n"
                               "resume  dmsnap-end-aaaaaaaa\n"
                               "message dmsnap-base-aaaaaaaa  direct 10000\n"
                               "remove  dmsnap-end-aaaaaaaa\n"
                               "remove  dmsnap-base-aaaaaaaa\n");
    REQUIRE(world.run(back).done());
    CHECK(world.state() == before);
}

TEST_CASE("a table is refused before anything is done", "[plan]")
{
    World world = disk_world();
    const std::string before = world.state();
    for (const char* text : {"", "0 4096 zero\n", "0 4095 linear @base@ 0\n", "0 8192 linear @base@ 0\n",
             "8 4088 linear @base@ 0\n", "0 8 linear @base@ 0\n16 4080 linear @base@ 16\n", "x 4096 linear @base@ 0\n",
             "0 4096 linear x@base@ 0\n", "0 4096 linear @base@ 0\r\n", "# 0 4096 linear @base@ 0\n"}) {
        INFO(text);
        CHECK(error_of([&] { redirect(world, text); }).fault() == Fault::usage);
    }
    CHECK_NOTHROW(redirect(world, "\n# a comment\n0 8 linear @base@ 0\n8 4088 linear @base@ 8\n"));
    CHECK(world.state() == before);
}

TEST_CASE("two things cannot stand in one place", "[plan]")
{
    World world = redirected();
    CHECK(error_of([&] { redirect(world); }).reason() == "another table stands in the place of 8:1");
    CHECK(error_of([&] { plan_attach(world.machine(), world.candidate(), R); }).reason() ==
          "another table stands in the place of 8:1");
    World attached = disk_world();
    REQUIRE(attached.run(plan_attach(attached.machine(), attached.candidate(), U)).done());
    CHECK(error_of([&] { redirect(attached); }).reason() == "it is attached for snapshots and changes");
}

TEST_CASE("a device is put back only if it has all data", "[plan]")
{
    const auto put_back = [](World& world) {
        const Machine machine = world.machine();
        return plan_direct(machine.endpoints.at(0));
    };
    for (const char* text : {"0 4096 linear @base@ 0\n", "0 2048 linear @base@ 0\n2048 2048 linear @base@ 2048\n",
             "0 4096 delay @base@ 0 0 @base@ 0 100\n", "0 4096 delay @base@ 0 500\n",
             "0 4096 mirror core 1 1024 2 8:112 0 @base@ 0\n"}) {
        INFO(text);
        World world = redirected(text);
        CHECK_NOTHROW(put_back(world));
    }
    for (const char* text :
        {"0 2048 linear @base@ 2048\n2048 2048 linear @base@ 0\n", "0 4096 delay @base@ 0 0 8:112 0 1\n",
            "0 4096 striped 2 128 @base@ 0 8:112 0\n", "0 4096 crypt aes 00 0 @base@ 0\n"}) {
        INFO(text);
        World world = redirected(text);
        CHECK(
            error_of([&] { put_back(world); }).reason().starts_with("the table in its place may have data elsewhere"));
    }
    const std::string raid = "0 4096 raid raid1 3 0 region_size 1024 2 - @base@ - 8:112\n";
    for (const auto& [legs, has_all] :
        {std::pair{"AA", true}, std::pair{"aA", false}, std::pair{"AD", true}, std::pair{"DA", false}}) {
        INFO(legs);
        World world = redirected(raid);
        world.dm.legs = legs;
        if (has_all)
            CHECK_NOTHROW(put_back(world));
        else
            CHECK_THROWS_AS(put_back(world), Error);
    }
    World elsewhere = redirected("0 4096 raid raid5_ls 3 0 region_size 1024 2 - @base@ - 8:112\n");
    CHECK_THROWS_AS(put_back(elsewhere), Error);
    World syncing = redirected("0 4096 mirror core 1 1024 2 8:112 0 @base@ 0\n");
    syncing.dm.mirror_status = "2/4 1 AA 1 core";
    CHECK(error_of([&] { put_back(syncing); }).reason().starts_with("the table in its place"));
    World first = redirected();
    first.dm.mirror_status = "2/4 1 AA 1 core";
    CHECK_NOTHROW(put_back(first));
    first.dm.mirror_status = "2/4 1 DA 1 core";
    CHECK(error_of([&] { put_back(first); }).reason().starts_with("the table in its place"));
}

TEST_CASE("whatever fails while a table is put in a device's place, it ends where it began", "[plan]")
{
    World whole = disk_world();
    const unsigned before = whole.dm.trouble.calls();
    REQUIRE(whole.run(redirect(whole)).done());
    for (unsigned call = 1; call <= whole.dm.trouble.calls() - before; ++call)
        for (Trouble::When when : {Trouble::When::before, Trouble::When::after}) {
            INFO("call " << call);
            World world = disk_world();
            const std::string state = world.state();
            const Plan plan = redirect(world);
            world.dm.trouble.fail_at(world.dm.trouble.calls() + call, when);
            const Outcome outcome = world.run(plan);
            if (outcome.done()) { // the kernel did it all, and only said that it had not
                CHECK(when == Trouble::When::after);
                continue;
            }
            CHECK(outcome.undone());
            CHECK(world.state() == state);
            CHECK(world.dm.endpoints.empty());
        }
}

TEST_CASE("a table that was swapped out for good is never put back", "[plan]")
{
    const char* const other_first = "0 4096 mirror core 1 1024 2 8:112 0 @base@ 0\n";
    World whole = redirected(other_first);
    const unsigned before = whole.dm.trouble.calls();
    const auto put_back = [](World& world) {
        const Machine machine = world.machine();
        return plan_direct(machine.endpoints.at(0));
    };
    REQUIRE(whole.run(put_back(whole)).done());
    for (unsigned call = 1; call <= whole.dm.trouble.calls() - before; ++call)
        for (Trouble::When when : {Trouble::When::before, Trouble::When::after}) {
            INFO("call " << call);
            World world = redirected(other_first);
            const std::string mirror = world.state();
            const Plan plan = put_back(world);
            world.dm.trouble.fail_at(world.dm.trouble.calls() + call, when);
            const Outcome outcome = world.run(plan);
            if (outcome.undone())
                CHECK(world.state() == mirror);
            const auto end = world.dm.devices.find(DmName("dmsnap-end-aaaaaaaa"));
            const bool swapped =
                end == world.dm.devices.end() || target_type(end->second.live.front().target) == "linear";
            CHECK(swapped == (call > 2 || (call == 2 && when == Trouble::When::after)));
            world.recover();
            CHECK(world.machine().endpoints.size() == (swapped ? 0U : 1U));
            CHECK(world.dm.endpoints.size() == (swapped ? 0U : 1U));
        }
}

TEST_CASE("a device is not led back past a table that somebody has given its endpoint", "[plan]")
{
    World world = redirected("0 4096 linear @base@ 0\n");
    const Machine machine = world.machine();
    const Plan plan = plan_direct(machine.endpoints.at(0));
    const Outcome outcome = execute(plan, world.dm, world.host, [&](const std::string& line) {
        if (!line.starts_with("message dmsnap-base-aaaaaaaa  direct"))
            return;
        world.dm.devices[DmName("dmsnap-end-aaaaaaaa")].live = parse_table("0 4096 linear 8:112 0\n");
    });
    REQUIRE(outcome.error);
    CHECK(outcome.error->reason().find("was given another table") != std::string::npos);
    CHECK(world.dm.endpoints.size() == 1);
}

TEST_CASE("a mirror that would begin with another leg is known", "[plan]")
{
    World world = disk_world();
    const Candidate candidate = world.candidate();
    const auto copies = [&](const char* text) { return copies_over_base(parse_endpoint_table(text, candidate, U), U); };
    CHECK_FALSE(copies(mirror.c_str()));
    CHECK(copies("0 4096 mirror core 1 1024 2 8:112 0 @base@ 0\n"));
    CHECK(copies("0 4096 mirror core 2 1024 nosync 2 8:112 0 @base@ 0\n"));
    CHECK_FALSE(copies("0 4096 raid raid1 3 0 region_size 1024 2 - @base@ - 8:112\n"));
    CHECK(copies("0 4096 raid raid1 3 0 region_size 1024 2 - 8:112 - @base@\n"));
    CHECK_FALSE(copies("0 4096 delay @base@ 0 0 8:112 0 0\n"));
}
