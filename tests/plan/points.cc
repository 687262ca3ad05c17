// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

#include "catch.h"
#include "world.h"

#include "ops/change.h"
#include "ops/check.h"
#include "ops/list.h"
#include "ops/overwrite.h"
#include "ops/parts.h"

using namespace dmsnap;
using namespace dmsnap::test;

namespace {

template <typename Call> std::string reason_of(Call call)
{
    try {
        call();
    } catch (const Error& error) {
        return error.reason();
    }
    return "no error";
}

template <typename Call> Fault fault_of(Call call)
{
    try {
        call();
    } catch (const Error& error) {
        return error.fault();
    }
    throw std::runtime_error("no error");
}

} // namespace

TEST_CASE("create on a device that is not attached does it all in one plan", "[plan]")
{
    World world = linear_world();
    CHECK(to_text(plan_take(world.machine(), world.candidate(), snapshot_wish(), store_wish())) ==
          "format  /dev/sdd  store bbbbbbbb-2222-4222-8222-222222222222 length 65536 granule 32\n"
          "create  dmsnap-store-bbbbbbbb  DMSNAP-bbbbbbbb-2222-4222-8222-222222222222-store  "
          "0 65536 interpose-store 8:48 0\n"
          "load    vg-home  0 4096 interpose 8:16 384 aaaaaaaa-1111-4111-8111-111111111111 32 provisional\n"
          "resume  vg-home\n"
          "message vg-home  store bbbbbbbb-2222-4222-8222-222222222222\n"
          "sync    /home\n"
          "message vg-home  take cccccccc-3333-4333-8333-333333333333 snapshot s1 - 10000 253:0\n"
          "create  dmsnap-s1  DMSNAP-SNAP-cccccccc-3333-4333-8333-333333333333 read-only  "
          "0 4096 interpose-image aaaaaaaa-1111-4111-8111-111111111111 @taken\n");
}

TEST_CASE("a further snapshot uses the store its origin has", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    CHECK(to_text(plan_take(world.machine(), world.candidate(), snapshot_wish("s2", Q), {})) ==
          "sync    /home\n"
          "message vg-home  take dddddddd-4444-4444-8444-444444444444 snapshot s2 - 10000 253:0\n"
          "create  dmsnap-s2  DMSNAP-SNAP-dddddddd-4444-4444-8444-444444444444 read-only  "
          "0 4096 interpose-image aaaaaaaa-1111-4111-8111-111111111111 @taken\n");
}

TEST_CASE("a store that is active is used as it is", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    const DmName other = world.dm.add("vg-var", "0 4096 linear 8:64 0\n");
    world.device = other;
    SoleWish wish = snapshot_wish("v1", Q);
    wish.new_origin = Q;
    world.freeze = {};
    CHECK(to_text(plan_take(world.machine(), world.candidate(), wish, store_wish())) ==
          "load    vg-var  0 4096 interpose 8:64 0 dddddddd-4444-4444-8444-444444444444 32 provisional\n"
          "resume  vg-var\n"
          "message vg-var  store bbbbbbbb-2222-4222-8222-222222222222\n"
          "message vg-var  take dddddddd-4444-4444-8444-444444444444 snapshot v1 - 10000 -\n"
          "create  dmsnap-v1  DMSNAP-SNAP-dddddddd-4444-4444-8444-444444444444 read-only  "
          "0 4096 interpose-image dddddddd-4444-4444-8444-444444444444 @taken\n");
}

TEST_CASE("a checkpoint needs no store and has no image", "[plan]")
{
    World world = linear_world();
    CHECK(to_text(plan_take(world.machine(), world.candidate(), checkpoint_wish("c1", Q), {})) ==
          "load    vg-home  0 4096 interpose 8:16 384 aaaaaaaa-1111-4111-8111-111111111111 32 provisional\n"
          "resume  vg-home\n"
          "sync    /home\n"
          "message vg-home  take dddddddd-4444-4444-8444-444444444444 checkpoint c1 - 10000 253:0\n");
}

TEST_CASE("a link is made by the plan where no udevd runs", "[plan]")
{
    World world = linear_world();
    world.dm.udev = false;
    const std::string plan = to_text(plan_take(world.machine(), world.candidate(), snapshot_wish(), store_wish()));
    CHECK(plan.ends_with("link    /dev/dmsnap/s1/vg-home  dmsnap-s1\n"));
}

TEST_CASE("a snapshot without a store is wrong usage that names the option", "[plan]")
{
    World world = linear_world();
    try {
        plan_take(world.machine(), world.candidate(), snapshot_wish(), {});
        FAIL("was not refused");
    } catch (const Error& error) {
        CHECK(error.fault() == Fault::usage);
        CHECK(error.next_step().find("--store") != std::string::npos);
    }
}

TEST_CASE("a name is given once an origin, and an image's once a machine", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    CHECK(reason_of([&] { plan_take(world.machine(), world.candidate(), snapshot_wish("s1", Q), {}); }) ==
          "it has a point of that name");
    CHECK(reason_of([&] { require_name_unique(world.machine(), nullptr, PointName("s1"), {}, "vg-var", "rename"); }) ==
          "vg-home has a snapshot of that name, whose image is dmsnap-s1");
    world.dm.add("dmsnap-s2", "0 8 error\n");
    CHECK(reason_of([&] { plan_take(world.machine(), world.candidate(), snapshot_wish("s2", Q), {}); }) ==
          "a device-mapper device \"dmsnap-s2\" exists");
    CHECK(
        reason_of([&] { plan_take(world.machine(), world.candidate(), checkpoint_wish("s2", Q), {}); }) == "no error");
    CHECK(fault_of([&] { plan_take(world.machine(), world.candidate(), snapshot_wish(P.text(), Q), {}); }) ==
          Fault::usage);
    CHECK(fault_of([&] {
        plan_take(world.machine(), world.candidate(), snapshot_wish(std::string(121, 'x'), Q), {});
    }) == Fault::usage);
}

TEST_CASE("a store in use is refused whatever the answer, a signature only without a yes", "[plan]")
{
    OverwriteFacts facts = clean_store();
    CHECK_FALSE(store_refusal(facts, false));
    CHECK_FALSE(only_signature_refuses(facts));

    facts.signature = Signature{"ext4 filesystem", false};
    CHECK(store_refusal(facts, false) == "it carries something: ext4 filesystem");
    CHECK_FALSE(store_refusal(facts, true));
    CHECK(only_signature_refuses(facts));

    const auto refused_always = [](const OverwriteFacts& bad) {
        INFO(store_refusal(bad, true).value_or("not refused"));
        CHECK(store_refusal(bad, false));
        CHECK(store_refusal(bad, true));
        CHECK_FALSE(only_signature_refuses(bad));
    };
    facts.signature->physical_volume = true;
    refused_always(facts);
    for (StackRelation relation : {StackRelation::same, StackRelation::above, StackRelation::below}) {
        facts = clean_store();
        facts.to_origin = relation;
        refused_always(facts);
    }
    facts = clean_store();
    facts.users.mounts = {{"/mnt", "ext4", {}, {}}};
    refused_always(facts);
    CHECK_FALSE(may_pass(facts));
    facts = clean_store();
    facts.users.processes = {{17, "(udev-worker)"}};
    refused_always(facts);
    CHECK(may_pass(facts));
    facts = clean_store();
    facts.users.swap = true;
    refused_always(facts);
    facts = clean_store();
    facts.device.logical_block = {4096};
    refused_always(facts);
    facts = clean_store();
    facts.claimed = true;
    refused_always(facts);
    CHECK(may_pass(facts));
    facts.to_origin = StackRelation::above; // the claim is its own
    CHECK_FALSE(may_pass(facts));
    facts = clean_store();
    facts.device.read_only = true;
    refused_always(facts);
    facts = clean_store();
    facts.device.zoned = true;
    refused_always(facts);
    facts = clean_store();
    facts.device.size = {INTERPOSE_STORE_SECTORS_MIN - 1};
    refused_always(facts);
}

TEST_CASE("a copy needs a device that is as long, and a yes for a store on it", "[plan]")
{
    OverwriteFacts facts = clean_store();
    const Sectors size = facts.device.size;
    CHECK_FALSE(copy_refusal(facts, size, false));
    CHECK(copy_refusal(facts, size + Sectors{1}, true) == "it is smaller than " + exact_size(size + Sectors{1}));
    facts.header.header = StoreHeader{S, 1, {65536}, {32}};
    CHECK(copy_refusal(facts, size, false) == "it carries something: a dmsnap store");
    CHECK_FALSE(copy_refusal(facts, size, true));
    facts = clean_store();
    facts.signature = Signature{"ext4 filesystem", false};
    CHECK(copy_refusal(facts, size, false) == "it carries something: ext4 filesystem");
    facts.to_origin = StackRelation::below;
    CHECK(copy_refusal(facts, size, true) == "the device lies on it");
}

TEST_CASE("a header of a store that is not in use stands against nothing", "[plan]")
{
    OverwriteFacts facts = clean_store();
    facts.header.header = StoreHeader{S, 1, {65536}, {32}};
    CHECK_FALSE(store_refusal(facts, false));
    facts.header = {std::nullopt, "store header with a wrong checksum"};
    CHECK(store_refusal(facts, false));
    CHECK_FALSE(store_refusal(facts, true));
}

TEST_CASE("a store cannot be changed while snapshots need it", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    StoreWish other = store_wish();
    other.facts.device.number = {8, 64};
    other.new_store = Q;
    CHECK(reason_of([&] {
        plan_take(world.machine(), world.candidate(), snapshot_wish("s2", Q), other);
    }).find("keep their data in") != std::string::npos);
}

TEST_CASE("a store is not changed while images of invalid snapshots are open on it, and nothing is formatted", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    StoreWish other = store_wish();
    other.facts.device.number = {8, 64};
    other.new_store = Q;
    Machine machine = world.machine();
    machine.stores.at(0).status.state = INTERPOSE_STORE_FAILED;
    machine.origins.at(0).status.details->snapshots = 0;
    try {
        plan_take(machine, world.candidate(), snapshot_wish("s2", Q), other);
        FAIL("was not refused");
    } catch (const Error& error) {
        CHECK(error.fault() == Fault::failed);
        CHECK(error.next_step() == "dmsnap remove s1, then again");
    }
    machine.origins.at(0).images.clear();
    CHECK(to_text(plan_take(machine, world.candidate(), snapshot_wish("s2", Q), other)).starts_with("format  "));
}

TEST_CASE("no point is taken of a suspended device, or above or below one", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    world.freeze.suspended = {"vg-secret"};
    CHECK(reason_of([&] { plan_take(world.machine(), world.candidate(), snapshot_wish("s2", Q), {}); }) ==
          "vg-secret, which its filesystems need, is suspended");
    world.freeze.suspended.clear();
    world.dm.devices[world.device].suspended = true;
    try {
        plan_take(world.machine(), world.candidate(), checkpoint_wish("c2", Q), {});
        FAIL("was not refused");
    } catch (const Error& error) {
        CHECK(error.fault() == Fault::failed);
        CHECK(error.reason() == "it is suspended");
        CHECK(error.next_step().starts_with("dmsetup resume vg-home"));
    }
}

TEST_CASE("a store lies on no attached origin, be it new, active or the origin's own", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    const DeviceNumber home = world.candidate().block.number;
    world.device = world.dm.add("vg-var", "0 4096 linear 8:64 0\n");
    const DeviceNumber var = world.candidate().block.number;
    const auto refusal = [&](const Machine& machine, const std::optional<StoreWish>& store) {
        return reason_of([&] { plan_take(machine, world.candidate(), snapshot_wish("v1", Q), store); });
    };
    StoreWish fresh = store_wish();
    fresh.facts.device.number = {8, 80};
    fresh.new_store = Q;
    fresh.facts.below = {{8, 80}, home};
    CHECK(refusal(world.machine(), fresh) == "it lies on vg-home, which is attached");

    Machine machine = world.machine();
    CHECK(refusal(machine, store_wish()) == "no error");
    machine.stores.at(0).below = {{8, 48}, home};
    CHECK(refusal(machine, store_wish()) == "it lies on vg-home, which is attached");
    machine.stores.at(0).below = {{8, 48}, var};
    CHECK(refusal(machine, store_wish()) == "the store " + machine.stores.at(0).device + " lies on it");
    CHECK(reason_of([&] { plan_attach(machine, world.candidate(), Q); }) ==
          "the store " + machine.stores.at(0).device + " lies on it");

    machine = world.machine();
    Candidate above_store = world.candidate();
    above_store.below = {{8, 48}};
    CHECK(reason_of([&] { plan_take(machine, above_store, snapshot_wish("v1", Q), store_wish()); }) ==
          "vg-var lies on it");

    world.device = DmName("vg-home");
    machine.stores.at(0).below = {{8, 48}, home};
    CHECK(refusal(machine, {}) == "it lies on vg-home");
}

TEST_CASE("the last snapshot to go takes the store with it", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    REQUIRE(world.run(plan_take(world.machine(), world.candidate(), snapshot_wish("s2", Q), {})).done());
    Machine machine = world.machine();
    const OriginState* origin = &machine.origins.at(0);
    const Plan first = plan_remove(machine, {{origin, &origin->points.at(0)}}, false);
    CHECK(to_text(first) == "remove  dmsnap-s1\n"
                            "message vg-home  drop aaaaaaaa-1111-4111-8111-111111111111 1\n");
    REQUIRE(world.run(first).done());
    machine = world.machine();
    origin = &machine.origins.at(0);
    const Plan last = plan_remove(machine, {{origin, &origin->points.at(0)}}, true);
    CHECK(to_text(last) == "remove  dmsnap-s2\n"
                           "message vg-home  release aaaaaaaa-1111-4111-8111-111111111111 2\n"
                           "message vg-home  unstore\n"
                           "remove  dmsnap-store-bbbbbbbb\n");
    REQUIRE(world.run(last).done());
    machine = world.machine();
    origin = &machine.origins.at(0);
    REQUIRE(origin->points.size() == 1);
    CHECK(plan_remove(machine, {{origin, &origin->points.at(0)}}, true).empty());
    CHECK(to_text(plan_remove(machine, {{origin, &origin->points.at(0)}}, false)) ==
          "message vg-home  drop aaaaaaaa-1111-4111-8111-111111111111 2\n");
}

TEST_CASE("a store that another origin uses stays", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    world.dm.origins[Q].store = S;
    Machine machine = world.machine();
    OriginState second = machine.origins.at(0);
    second.line.origin = Q;
    machine.origins.push_back(second);
    const OriginState& origin = machine.origins.at(0);
    CHECK(to_text(plan_remove(machine, {{&origin, &origin.points.at(0)}}, false)).find("dmsnap-store") ==
          std::string::npos);
}

TEST_CASE("a store stays as long as the kernel knows of another origin that uses it", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    world.dm.origins[Q].store = S;
    const Machine machine = world.machine();
    const OriginState& origin = machine.origins.at(0);
    REQUIRE(machine.users_of(S) == 1); // the other one could not be read
    CHECK(to_text(plan_remove(machine, {{&origin, &origin.points.at(0)}}, false)).find("dmsnap-store") ==
          std::string::npos);
    CHECK(to_text(plan_detach(machine, origin, true)).find("dmsnap-store") == std::string::npos);
}

TEST_CASE("a point is found by name, uuid or generation and id, and by nothing that comes near", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    const Machine machine = world.machine();
    const OriginState& origin = machine.origins.at(0);
    const std::string G = origin.status.generation.text();
    CHECK(resolve_point(origin, "s1").id == 1);
    CHECK(resolve_point(origin, P.text()).id == 1);
    CHECK(resolve_point(origin, G + ":1").id == 1);
    for (const std::string& text : std::vector<std::string>{
             "s", "S1", "s11", "1", "", ":1", G, G + ":", G + ":01x", G + ":2", Q.text(), Q.text() + ":1"}) {
        INFO(text);
        CHECK(fault_of([&] { resolve_point(origin, text); }) == Fault::chain_broken);
    }
}

TEST_CASE("a name that two devices have must be told apart", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    Machine machine = world.machine();
    CHECK(find_points(machine, nullptr, "s1").front().origin == &machine.origins.at(0));
    CHECK(reason_of([&] { find_points(machine, nullptr, "s2"); }) == "there is no such point");
    machine.origins.push_back(machine.origins.at(0));
    machine.origins.at(1).info.name = DmName("vg-var");
    CHECK(reason_of([&] { find_points(machine, nullptr, "s1"); }) == "vg-home and vg-var have a point of that name");
    CHECK(find_points(machine, &machine.origins.at(1), "s1").front().origin == &machine.origins.at(1));
    machine.origins.at(1).points.front().uuid = Q;
    CHECK(find_points(machine, nullptr, Q.text()).front().origin == &machine.origins.at(1));
    CHECK(reason_of([&] { find_points(machine, nullptr, R.text()); }) == "there is no such point");
}

TEST_CASE("a set is taken by one message, and each of its images has its device's name", "[plan]")
{
    World world = set_world();
    world.dm.udev = false;
    CHECK(
        to_text(plan_set(world, snapshot_wish(), store_wish())) ==
        "format  /dev/sdd  store bbbbbbbb-2222-4222-8222-222222222222 length 65536 granule 32\n"
        "create  dmsnap-store-bbbbbbbb  DMSNAP-bbbbbbbb-2222-4222-8222-222222222222-store  "
        "0 65536 interpose-store 8:48 0\n"
        "load    vg-home  0 4096 interpose 8:16 384 aaaaaaaa-1111-4111-8111-111111111111 32 provisional\n"
        "resume  vg-home\n"
        "create  dmsnap-base-eeeeeeee  DMSNAP-eeeeeeee-5555-4555-8555-555555555555-base  "
        "0 2048 linear 8:64 0; 2048 2048 linear 8:80 0\n"
        "load    vg-var  0 4096 interpose @dmsnap-base-eeeeeeee 0 eeeeeeee-5555-4555-8555-555555555555 32 provisional\n"
        "resume  vg-var\n"
        "message vg-home  store bbbbbbbb-2222-4222-8222-222222222222\n"
        "message vg-var  store bbbbbbbb-2222-4222-8222-222222222222\n"
        "sync    /home\n"
        "message vg-home  take cccccccc-3333-4333-8333-333333333333 snapshot s1 - 10000 253:0 - "
        "eeeeeeee-5555-4555-8555-555555555555/dddddddd-4444-4444-8444-444444444444/-\n"
        "create  dmsnap-s1-vg-home  DMSNAP-SNAP-cccccccc-3333-4333-8333-333333333333-set7 read-only  "
        "0 4096 interpose-image aaaaaaaa-1111-4111-8111-111111111111 @taken\n"
        "link    /dev/dmsnap/s1/vg-home  dmsnap-s1-vg-home\n"
        "create  dmsnap-s1-vg-var  DMSNAP-SNAP-dddddddd-4444-4444-8444-444444444444-set6 read-only  "
        "0 4096 interpose-image eeeeeeee-5555-4555-8555-555555555555 @taken\n"
        "link    /dev/dmsnap/s1/vg-var  dmsnap-s1-vg-var\n");
}

namespace {

World world_with_set(bool udev = true)
{
    World world = set_world();
    world.dm.udev = udev;
    if (!world.run(plan_set(world, snapshot_wish(), store_wish())).done())
        throw std::runtime_error("no set");
    return world;
}

} // namespace

TEST_CASE("the name of a set means all of it, and a device with the name one of it", "[plan]")
{
    World world = world_with_set(false);
    const std::string with_set = world.state();
    const Machine machine = world.machine();
    CHECK(plan_recover(machine).repairs.empty());
    const auto all = find_points(machine, nullptr, "s1");
    REQUIRE(all.size() == 2);
    CHECK(all[0].point->set == R);
    CHECK(all[1].point->set == R);
    CHECK(find_points(machine, nullptr, R.text()).size() == 2);
    CHECK(find_points(machine, all[1].origin, "s1").size() == 1);
    CHECK(find_points(machine, nullptr, Q.text()).size() == 1);

    World renamed = world;
    const Plan rename = plan_rename(machine, all, PointName("s2"));
    CHECK(to_text(rename).starts_with("message vg-home  change aaaaaaaa-1111-4111-8111-111111111111 1 s2 = = "
                                      "eeeeeeee-5555-4555-8555-555555555555/eeeeeeee-5555-4555-8555-555555555555/1\n"
                                      "rename  dmsnap-s1-vg-home  dmsnap-s2-vg-home\n"));
    REQUIRE(renamed.run(rename).done());
    CHECK(renamed.host.links == std::set<std::string>{"/dev/dmsnap/s2/vg-home", "/dev/dmsnap/s2/vg-var"});
    CHECK(renamed.dm.devices.count(DmName("dmsnap-s2-vg-var")) == 1);
    CHECK(plan_recover(renamed.machine()).repairs.empty());

    CHECK(to_text(plan_remove(machine, all, false)) == "unlink  /dev/dmsnap/s1/vg-home\n"
                                                       "remove  dmsnap-s1-vg-home\n"
                                                       "unlink  /dev/dmsnap/s1/vg-var\n"
                                                       "remove  dmsnap-s1-vg-var\n"
                                                       "message vg-home  drop aaaaaaaa-1111-4111-8111-111111111111 1 "
                                                       "eeeeeeee-5555-4555-8555-555555555555/"
                                                       "eeeeeeee-5555-4555-8555-555555555555/1\n"
                                                       "message vg-home  unstore\n"
                                                       "message vg-var  unstore\n"
                                                       "remove  dmsnap-store-bbbbbbbb\n");
    REQUIRE(world.run(plan_remove(machine, all, false)).done());
    CHECK(plan_recover(world.machine()).repairs.empty());
    CHECK(world.dm.devices.count(store_name(S)) == 0);
}

TEST_CASE("a set whose device is given another name keeps the names of its images", "[plan]")
{
    World world = world_with_set(false);
    world.dm.rename(DmName("vg-var"), DmName("vg-variable"), Visibility::public_device);
    world.recover();
    CHECK(world.host.links == std::set<std::string>{"/dev/dmsnap/s1/vg-home", "/dev/dmsnap/s1/vg-variable"});
    const Machine machine = world.machine();
    CHECK(plan_recover(machine).repairs.empty());
    REQUIRE(world.run(plan_rename(machine, find_points(machine, nullptr, "s1"), PointName("s2"))).done());
    CHECK(world.dm.devices.count(DmName("dmsnap-s2-vg-var")) == 1);
    CHECK(plan_recover(world.machine()).repairs.empty());
    for (const char* const image : {"dmsnap-s2-vg-var", "dmsnap-s2-vg-home"})
        CHECK(point_of_image_name(image, world.dm.info(DmName(image))->uuid)->text() == "s2");
    const Machine renamed = world.machine();
    REQUIRE(world.run(plan_remove(renamed, find_points(renamed, nullptr, "s2"), false)).done());
    CHECK(world.host.links.empty());
}

TEST_CASE("points of a set that were named singly are renamed in one step, and each gets its own name back", "[plan]")
{
    World world = world_with_set();
    const Machine before = world.machine();
    const FoundPoint second = find_points(before, nullptr, "s1").back();
    REQUIRE(world.run(plan_rename(before, {second}, PointName("s5"))).done());
    const std::string mixed = world.state();

    const Machine machine = world.machine();
    const Plan plan = plan_rename(machine, find_points(machine, nullptr, R.text()), PointName("s9"));
    REQUIRE(plan.size() == 3);
    CHECK(std::get<ChangePoint>(plan.front()).message.others.size() == 1);
    World failing = world;
    failing.dm.trouble.fail_at(failing.dm.trouble.calls() + 3);
    CHECK(failing.run(plan).undone());
    CHECK(failing.state() == mixed);
    REQUIRE(world.run(plan).done());
    const Machine after = world.machine();
    CHECK(find_points(after, nullptr, "s9").size() == 2);
}

TEST_CASE("a rename of a set is undone where there is still something to undo", "[plan]")
{
    World world = world_with_set();
    const Machine machine = world.machine();
    const Plan plan = plan_rename(machine, find_points(machine, nullptr, "s1"), PointName("s9"));
    world.dm.add("dmsnap-s9-vg-home", "0 8 error\n");
    const Outcome outcome = execute(plan, world.dm, world.host, [&](const std::string& line) {
        if (!line.starts_with("rename  dmsnap-s1-vg-home"))
            return;
        // Before it fails, another table comes for the first of them.
        world.dm.devices[DmName("vg-home")].inactive = parse_table("0 4096 linear 8:16 384\n");
        world.dm.resume(DmName("vg-home"), Visibility::public_device);
    });
    CHECK(outcome.error);
    CHECK(outcome.undone());
    const Machine after = world.machine();
    REQUIRE(after.origins.size() == 1);
    CHECK(after.origins.front().points.at(0).name.text() == "s1");
}

TEST_CASE("a set may name the store that all of it uses, and none that nobody would use", "[plan]")
{
    World world = world_with_set();
    CHECK(reason_of([&] { plan_set(world, snapshot_wish("s2", P), store_wish()); }) == "no error");
    StoreWish other = store_wish();
    other.facts.device.number = {8, 112};
    CHECK(reason_of([&] { plan_set(world, snapshot_wish("s2", P), other); }) ==
          "all the devices keep their old data elsewhere");
}

TEST_CASE("an image of a set whose device is gone is still known by the point's name", "[plan]")
{
    World world = world_with_set();
    world.dm.load(DmName("vg-var"), parse_table("0 4096 linear 8:64 0\n"));
    world.dm.resume(DmName("vg-var"), Visibility::public_device);
    const Machine machine = world.machine();
    REQUIRE(machine.gone.size() == 1);
    CHECK(machine.gone.front().points.at(0).name.text() == "s1");
    CHECK(machine.gone.front().points.at(0).uuid == Q);
}

TEST_CASE("one of a set that is removed leaves the others and their store", "[plan]")
{
    World world = world_with_set();
    const Machine machine = world.machine();
    REQUIRE(world.run(plan_remove(machine, {find_points(machine, nullptr, "s1").back()}, false)).done());
    const Machine after = world.machine();
    REQUIRE(find_points(after, nullptr, "s1").size() == 1);
    CHECK(after.stores.size() == 1);
    CHECK(plan_recover(after).repairs.empty());
    CHECK(after.has_name(DmName("dmsnap-s1-vg-home")));
}

TEST_CASE("a snapshot's name is given once a machine, but for those of one set", "[plan]")
{
    World world = world_with_set();
    const DmName third = world.dm.add("vg-log", "0 4096 linear 8:96 0\n");
    world.device = third;
    SoleWish wish = snapshot_wish("s1", R);
    CHECK(reason_of([&] { plan_take(world.machine(), world.candidate(), wish, store_wish()); }) ==
          "vg-home has a snapshot of that name, whose image is dmsnap-s1-vg-home");
    CHECK(
        reason_of([&] { plan_take(world.machine(), world.candidate(), checkpoint_wish("s1", R), {}); }) == "no error");
}

TEST_CASE("a set's members lie beside each other, and are no more than the module takes", "[plan]")
{
    World world = set_world();
    Taker lower{world.candidate(), P, {}, {}, U, {}, Via::automatic};
    Taker upper = lower;
    upper.candidate.block.number = {253, 9};
    upper.candidate.block.dm_name = "vg-upper";
    upper.candidate.below = {lower.candidate.block.number};
    const auto refusal = [&](const std::vector<Taker>& takers) {
        return reason_of([&] { plan_take(world.machine(), checkpoint_wish("c1", Q), takers); });
    };
    CHECK(refusal({lower, upper}) == "it lies on vg-home, which is to have the same point");
    CHECK(refusal({upper, lower}) == "it lies on vg-home, which is to have the same point");
    CHECK(refusal(std::vector<Taker>(INTERPOSE_SET_MAX + 1, lower)) == "no more than 16 can have one point");
}

TEST_CASE("in a set a device that keeps old data elsewhere keeps that store", "[plan]")
{
    World world = set_world();
    REQUIRE(world.run(plan_take(world.machine(), world.candidate(), snapshot_wish("s0", R), store_wish())).done());
    StoreWish other = store_wish();
    other.facts.device.number = {8, 112};
    other.path = "/dev/sdh";
    other.new_store = Q;
    const std::string plan = to_text(plan_set(world, snapshot_wish(), other));
    CHECK(plan.starts_with("format  /dev/sdh"));
    CHECK(plan.find("message vg-home  store") == std::string::npos);
    CHECK(plan.find("message vg-var  store dddddddd") != std::string::npos);
}

TEST_CASE("what a dead command left behind is found, and nothing else", "[plan]")
{
    World world = world_with_snapshot(segmented_world());
    CHECK(plan_recover(world.machine()).repairs.empty());
    world.dm.add("dmsnap-base-dddddddd", "0 8 linear 8:16 0\n");
    world.dm.devices[DmName("dmsnap-base-dddddddd")].uuid = base_uuid(Q);
    world.dm.add("dmsnap-store-dddddddd", "0 8192 interpose-store 8:80 0\n");
    world.dm.devices[DmName("dmsnap-store-dddddddd")].uuid = store_uuid(Q);
    world.dm.add("dmsnap-x", "0 8 error\n"); // a name like ours, and no uuid of ours
    std::string plans;
    for (const Repair& repair : plan_recover(world.machine()).repairs)
        plans += to_text(repair.plan);
    CHECK(plans == "remove  dmsnap-base-dddddddd\n"
                   "remove  dmsnap-store-dddddddd\n");
}

TEST_CASE("an image whose origin lost its table is listed as invalid and can be removed", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    world.dm.load(world.device, parse_table("0 4096 linear 8:16 384\n"));
    world.dm.resume(world.device, Visibility::public_device);
    const Machine machine = world.machine();
    CHECK(machine.origins.empty());
    const auto rows = listed_points(machine);
    REQUIRE(rows.size() == 1);
    CHECK(attributes(rows.front()) == "sr--I-----");
    const FoundPoint found = find_points(machine, nullptr, "s1").front();
    CHECK(to_text(plan_remove(machine, {found}, false)) == "remove  dmsnap-s1\n");
    CHECK(find_points(machine, nullptr, found.point->uuid.text()).front().point == found.point);
    CHECK(reason_of([&] { plan_take(machine, world.candidate(), snapshot_wish("s1", Q), {}); }) ==
          "dmsnap-s1 is the image of an ended snapshot, whose device was given another table");
}

TEST_CASE("a device whose table is lost takes nothing on, and a detach makes it what it was", "[plan]")
{
    const std::string before = segmented_world().state();
    World world = world_with_snapshot(segmented_world());
    world.dm.origins.at(U).lost = true;
    const Machine machine = world.machine();
    const OriginState& origin = machine.origins.at(0);

    const auto rows = listed_points(machine);
    REQUIRE(rows.size() == 1);
    CHECK(attributes(rows.front()) == "sr--I-----");
    CHECK_FALSE(find_problems(machine, &origin).empty());
    CHECK(plan_recover(machine).repairs.empty());
    CHECK_THROWS_AS(plan_attach(machine, world.candidate(), Q), Error);
    CHECK_THROWS_AS(plan_take(machine, world.candidate(), checkpoint_wish("c1", Q), {}), Error);
    CHECK_THROWS_AS(plan_rename(machine, {{&origin, &origin.points.at(0)}}, PointName("x")), Error);
    CHECK_THROWS_AS(plan_detach(machine, origin, false), Error);

    World forced = world;
    REQUIRE(forced.run(plan_detach(machine, origin, true)).done());
    CHECK(forced.state() == before);

    const Plan remove = plan_remove(machine, {{&origin, &origin.points.at(0)}}, false);
    CHECK(to_text(remove) == "remove  dmsnap-s1\n");
    REQUIRE(world.run(remove).done());
    const Machine without_image = world.machine();
    CHECK(plan_recover(without_image).repairs.empty()); // nor asked to let go of its store
    REQUIRE(world.run(plan_detach(without_image, without_image.origins.at(0), false)).done());
    CHECK(world.state() == before);
}

TEST_CASE("the link of an image goes with it where no udevd runs, also once its origin is gone", "[plan]")
{
    World without_udev = linear_world();
    without_udev.dm.udev = false;
    World world = world_with_snapshot(without_udev);
    REQUIRE(world.host.links == std::set<std::string>{"/dev/dmsnap/s1/vg-home"});
    world.dm.load(world.device, parse_table("0 4096 linear 8:16 384\n"));
    world.dm.resume(world.device, Visibility::public_device);
    const Machine machine = world.machine();
    const FoundPoint found = find_points(machine, nullptr, "s1").front();
    REQUIRE(world.run(plan_remove(machine, {found}, false)).done());
    CHECK(world.host.links.empty());
}
