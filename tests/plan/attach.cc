// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

#include "catch.h"
#include "world.h"

using namespace dmsnap;
using namespace dmsnap::test;

namespace {

std::string refusal(World& world)
{
    try {
        plan_attach(world.machine(), world.candidate(), U);
    } catch (const Error& error) {
        return error.reason();
    }
    return {};
}

} // namespace

TEST_CASE("attach replaces a single linear line in place", "[plan]")
{
    World world = linear_world();
    CHECK(to_text(plan_attach(world.machine(), world.candidate(), U)) ==
          "load    vg-home  0 4096 interpose 8:16 384 aaaaaaaa-1111-4111-8111-111111111111 32\n"
          "resume  vg-home\n");
}

TEST_CASE("attach puts any other table below itself, loaded before the device is suspended", "[plan]")
{
    World world = segmented_world();
    CHECK(to_text(plan_attach(world.machine(), world.candidate(), U, {.chunk = Sectors{128}})) ==
          "create  dmsnap-base-aaaaaaaa  DMSNAP-aaaaaaaa-1111-4111-8111-111111111111-base  "
          "0 2048 linear 8:16 0; 2048 2048 linear 8:32 64\n"
          "load    vg-home  0 4096 interpose @dmsnap-base-aaaaaaaa 0 aaaaaaaa-1111-4111-8111-111111111111 128\n"
          "resume  vg-home\n");
}

TEST_CASE("attach moves tables that may be active twice, and no others", "[plan]")
{
    for (const char* table : {"0 8192 striped 2 128 8:16 0 8:32 0\n", "0 8192 thin 253:4 1\n",
             "0 8192 crypt aes-xts-plain64 00ff 0 8:16 4096\n"}) {
        INFO(table);
        World world(table);
        CHECK(refusal(world).empty());
    }
    const std::pair<const char*, const char*> immovable[] = {
        {"0 8192 thin-pool 253:1 253:2 128 0\n", "thin pool"},
        {"0 8192 multipath 0 0 1 1 service-time 0 1 1 8:16 1\n", "multipath"},
        {"0 8192 snapshot-origin 253:1\n", "has snapshots of LVM's"},
        {"0 8192 snapshot 253:1 253:2 P 8\n", "is a snapshot of LVM's"},
        {"0 8192 error\n", "\"error\", which cannot be moved"},
        {"0 4096 linear 8:16 0\n4096 4096 zero\n", "\"zero\", which cannot be moved"},
        {"0 8192 writecache s 8:16 8:32 4096 0\n", "cached"},
        {"0 8192 raid raid1 5 0 region_size 1024 rebuild 1 2 8:16 8:32 8:48 8:64\n", "\"rebuild\""},
        {"0 8192 raid raid1 5 0 region_size 1024 max_write_behind 256 2 8:16 8:32 8:48 8:64\n", "halved"},
    };
    for (const auto& [table, reason] : immovable) {
        INFO(table);
        World world(table);
        CHECK(refusal(world).find(reason) != std::string::npos);
    }
    World keyring("0 8192 crypt aes-xts-plain64 :64:logon:cryptsetup:x 0 8:16 4096\n");
    CHECK(refusal(keyring).find("keyring") != std::string::npos);
}

TEST_CASE("attach starts the base of what must not run twice while the device is suspended", "[plan]")
{
    World world = raid_world();
    CHECK(to_text(plan_attach(world.machine(), world.candidate(), U)) ==
          "prepare dmsnap-base-aaaaaaaa  DMSNAP-aaaaaaaa-1111-4111-8111-111111111111-base  "
          "0 4096 raid raid1 3 0 region_size 1024 2 8:16 8:32 8:48 8:64\n"
          "load    vg-home  0 4096 interpose @dmsnap-base-aaaaaaaa 0 aaaaaaaa-1111-4111-8111-111111111111 32\n"
          "swap    vg-home  suspended, dmsnap-base-aaaaaaaa starts\n");
    REQUIRE(world.run(plan_attach(world.machine(), world.candidate(), U)).done());
    const Machine machine = world.machine();
    CHECK(to_text(plan_detach(machine, machine.origins.at(0), false)) ==
          "load    vg-home  0 4096 raid raid1 3 0 region_size 1024 2 8:16 8:32 8:48 8:64\n"
          "swap    vg-home  suspended, dmsnap-base-aaaaaaaa stops\n"
          "remove  dmsnap-base-aaaaaaaa\n");
}

TEST_CASE("a raid that loses a leg between plan and swap stays as it was", "[plan]")
{
    World world = raid_world();
    const auto attach = [&] { return plan_attach(world.machine(), world.candidate(), U); };
    const auto detach = [&] { return plan_detach(world.machine(), world.machine().origins.at(0), false); };
    const auto undone = [&](const Plan& plan, const char* legs) {
        const std::string before = world.state();
        world.dm.legs = legs;
        CHECK(world.run(plan).undone());
        CHECK(world.state() == before);
    };
    undone(attach(), "AD");
    undone(attach(), "DA");
    world.dm.legs = "Aa";
    const Plan in_sync_meanwhile = attach();
    world.dm.legs = "AA";
    CHECK(world.run(in_sync_meanwhile).done());
    undone(detach(), "AD");
    CHECK(world.run(detach()).done());
}

TEST_CASE("attach refuses what LVM keeps to itself", "[plan]")
{
    const std::string uuid = "LVM-" + std::string(64, 'x');
    const std::pair<std::string, std::string> parts[] = {{"vg-home", uuid + "-real"}, {"vg-home", uuid + "-cow"},
        {"vg-home_rimage_0", uuid}, {"vg-home_rmeta_1", uuid}, {"vg-pool_tmeta", uuid + "-tmeta"}};
    for (const auto& [name, its_uuid] : parts) {
        INFO(name << " " << its_uuid);
        World world("0 4096 linear 8:16 384\n", name);
        world.dm.devices[world.device].uuid = its_uuid;
        CHECK(refusal(world) == "it is a part of a logical volume");
    }
    World volume("0 4096 linear 8:16 384\n");
    volume.dm.devices[volume.device].uuid = uuid;
    CHECK(refusal(volume).empty());
}

TEST_CASE("what another manager reloads when it likes is seen by the hook", "[plan]")
{
    for (const std::string& uuid :
        {"LVM-" + std::string(64, 'x'), std::string("CRYPT-LUKS2-x-home"), std::string("mpath-3600")}) {
        INFO(uuid);
        World world = linear_world();
        world.dm.devices[world.device].uuid = uuid;
        const auto machine = world.machine();
        CHECK(plan_attachment(machine, world.candidate(), U, {}).name == top_name(U));
        CHECK(plan_attachment(machine, world.candidate(), U, {.via = Via::table}).name == world.device);
        Candidate labelled = world.candidate();
        labelled.physical_volume = true;
        CHECK(plan_attachment(machine, labelled, U, {}).name == world.device);
    }
    World pool("0 8192 thin-pool 253:1 253:2 128 0\n");
    CHECK_THROWS_AS(plan_attach(pool.machine(), pool.candidate(), U, {.via = Via::hook}), Error);
}

TEST_CASE("a device that has outgrown its hook is attached anew, unless snapshots would go with that", "[plan]")
{
    World world = disk_world();
    REQUIRE(world.run(plan_attach(world.machine(), world.candidate(), U)).done());
    auto machine = world.machine();
    OriginState& origin = machine.origins.at(0);
    CHECK(plan_renewal(machine, origin).empty());
    for (const std::uint64_t size : {5000u, 4000u}) {
        origin.live->size = {size};
        CHECK(to_text(plan_renewal(machine, origin)) == to_text(plan_detach(machine, origin, true)));
        CHECK(origin.shrunk() == (size == 4000));
        CHECK_THROWS_AS(plan_attach(machine, world.candidate(), Q), Error);
    }
    origin.live->size = {5000};
    CHECK(origin.new_space() == Run{{4096}, {904}});
    REQUIRE(world.run(plan_take(world.machine(), world.candidate(), snapshot_wish(), store_wish())).done());
    auto with_snapshot = world.machine();
    with_snapshot.origins.at(0).live->size = {5000};
    CHECK(plan_renewal(with_snapshot, with_snapshot.origins.at(0)).empty());
}

TEST_CASE("attach does not show a key", "[plan]")
{
    World world("0 8192 crypt aes-xts-plain64 00ff00ff 0 8:16 4096\n");
    const Plan plan = plan_attach(world.machine(), world.candidate(), U);
    CHECK(to_text(plan).find("00ff00ff") == std::string::npos);
    for (const Step& step : plan)
        CHECK(by_hand(step).find("00ff00ff") == std::string::npos);
}

TEST_CASE("attach refuses a device somebody is at work on", "[plan]")
{
    World suspended = linear_world();
    suspended.dm.devices[suspended.device].suspended = true;
    CHECK(refusal(suspended) == "it is suspended");
    World loaded = linear_world();
    loaded.dm.devices[loaded.device].inactive = parse_table("0 4096 error\n");
    CHECK(refusal(loaded).find("another table") != std::string::npos);
    World read_only = linear_world();
    read_only.dm.devices[read_only.device].read_only = true;
    CHECK(refusal(read_only).find("read-only") != std::string::npos);
    World ours = linear_world();
    ours.dm.devices[ours.device].uuid = "DMSNAP-x-base";
    CHECK(refusal(ours) == "it is dmsnap's own");
}

TEST_CASE("attach lets the hook see a plain disk, whose filesystems are written out and frozen", "[plan]")
{
    World world = disk_world();
    const Plan plan = plan_attach(world.machine(), world.candidate(), U);
    CHECK(
        to_text(plan) ==
        "create  dmsnap-base-aaaaaaaa  DMSNAP-aaaaaaaa-1111-4111-8111-111111111111-base  0 4096 interpose-base 8:1 0\n"
        "create  dmsnap-top-aaaaaaaa  DMSNAP-aaaaaaaa-1111-4111-8111-111111111111-top  "
        "0 4096 interpose @dmsnap-base-aaaaaaaa 0 aaaaaaaa-1111-4111-8111-111111111111 32\n"
        "sync    /home\n"
        "message dmsnap-top-aaaaaaaa  hook 10000 253:0\n");
    REQUIRE(world.run(plan).done());
    const Machine machine = world.machine();
    const OriginState& origin = machine.origins.at(0);
    CHECK(origin.hooked());
    CHECK(origin.device().text() == "8:1");
    CHECK(machine.find({8, 1}) == &origin);
    CHECK(plan_attach(machine, world.candidate(), Q).empty());
    CHECK(to_text(plan_detach(machine, origin, false)) == "message dmsnap-top-aaaaaaaa  unhook 10000\n"
                                                          "remove  dmsnap-top-aaaaaaaa\n"
                                                          "remove  dmsnap-base-aaaaaaaa\n");
}

TEST_CASE("the hook takes what the table method cannot move", "[plan]")
{
    World world("0 8192 multipath 0 0 1 1 round-robin 0 1 1 8:16 1\n");
    CHECK(refusal(world).find("multipath") != std::string::npos);
    const Plan plan = plan_attach(world.machine(), world.candidate(), U, {.via = Via::hook});
    REQUIRE(world.run(plan).done());
    CHECK(world.machine().origins.at(0).hooked());
    CHECK_THROWS_AS(plan_attach(world.machine(), world.candidate(), Q, {.via = Via::table}), Error);
}

TEST_CASE("no point is taken on what a dead attach has left before its hook", "[plan]")
{
    World world = disk_world();
    const Plan plan = plan_attach(world.machine(), world.candidate(), U);
    REQUIRE(world.run(Plan(plan.begin(), plan.begin() + 2)).done());
    CHECK(refusal(world) == "what an attach that died has left could not be mended");
    CHECK_THROWS_AS(plan_take(world.machine(), world.candidate(), checkpoint_wish("c1", Q), {}), Error);
    world.recover();
    CHECK(refusal(world).empty());
}

TEST_CASE("a device that somebody suspended below the hook is not written out", "[plan]")
{
    World world = disk_world();
    REQUIRE(world.run(plan_attach(world.machine(), world.candidate(), U)).done());
    for (const DmName& name : {top_name(U), base_name(U)}) {
        world.dm.devices[name].suspended = true;
        try {
            plan_take(world.machine(), world.candidate(), checkpoint_wish("c1", Q), {});
            FAIL("was not refused");
        } catch (const Error& error) {
            CHECK(error.reason() == name.text() + ", through which it is written, is suspended");
        }
        world.dm.devices[name].suspended = false;
    }
}

TEST_CASE("what the hook cannot see rightly is refused", "[plan]")
{
    const auto refused = [](World& world, const Candidate& candidate) -> std::string {
        try {
            plan_attach(world.machine(), candidate, Q);
        } catch (const Error& error) {
            CHECK_FALSE(error.next_step().empty());
            return error.reason();
        }
        return {};
    };
    World world = disk_world();
    Candidate candidate = world.candidate();
    candidate.swap = true;
    CHECK(refused(world, candidate) == "the kernel swaps to it, or to what lies on it");
    candidate = world.candidate();
    candidate.write_limit = "/slow";
    CHECK(refused(world, candidate).starts_with("the control group /slow limits writes to it"));
    candidate.freeze.devices = {candidate.block.number};
    CHECK(refused(world, candidate).empty());
    candidate.freeze.doubtful = {candidate.block.number};
    CHECK(refused(world, candidate).starts_with("the control group /slow limits writes to it"));
    candidate = world.candidate();
    candidate.uncounted = true;
    CHECK(refused(world, candidate).starts_with("the kernel does not count its writes"));
    candidate.freeze.devices = {candidate.block.number};
    CHECK(refused(world, candidate).empty());
    candidate = world.candidate();
    candidate.multipath = true;
    CHECK(refused(world, candidate).starts_with("it is one path of a multipath device"));
    candidate = world.candidate();
    candidate.physical_volume = true;
    CHECK(refused(world, candidate).starts_with("it is an LVM physical volume"));
    candidate = world.candidate();
    candidate.block.dax = true;
    CHECK(refused(world, candidate).ends_with("(DAX)"));
    candidate = world.candidate();
    candidate.block.read_only = true;
    CHECK(refused(world, candidate).starts_with("it is read-only"));
    candidate = world.candidate();
    candidate.block.zoned = true;
    CHECK(refused(world, candidate) == "it is a zoned device");
    candidate = world.candidate();
    candidate.freeze.suspended = {"vg-secret"};
    CHECK(refused(world, candidate) == "vg-secret, which its filesystems need, is suspended");
    candidate = world.candidate();
    candidate.freeze.devices.resize(INTERPOSE_FREEZE_MAX + 1);
    CHECK(refused(world, candidate).starts_with("33 filesystems lie on it"));
    candidate = world.candidate();
    candidate.block.size = {0};
    CHECK(refused(world, candidate) == "it has no size");
    candidate = world.candidate();
    CHECK(refused(world, candidate).empty());

    REQUIRE(world.run(plan_attach(world.machine(), candidate, U)).done());
    Candidate partition = candidate;
    partition.block.number = {8, 2};
    partition.block.kernel_name = "sda2";
    partition.block.disk = DeviceNumber{8, 1};
    CHECK(refused(world, partition) == "its disk 8:1 is attached, and it with that");
    partition.block.disk = DeviceNumber{8, 0};
    CHECK(refused(world, partition).empty());

    Machine machine = world.machine();
    machine.origins.at(0).live->disk = DeviceNumber{8, 0};
    Candidate disk = candidate;
    disk.block.number = {8, 0};
    try {
        plan_attach(machine, disk, Q);
        FAIL("was not refused");
    } catch (const Error& error) {
        CHECK(error.reason() == "its partition 8:1 is attached");
    }
}

TEST_CASE("a table in which writes wait uncounted is hooked while its filesystem is frozen alone", "[plan]")
{
    for (const char* table : {"0 4096 cache 8:16 8:32 8:48 128 1 writeback smq 0\n", "0 4096 thin 8:16 1\n",
             "0 4096 crypt aes-xts-plain64 :64:logon:key 0 8:16 0\n", "0 4096 delay 8:16 0 10\n"}) {
        INFO(table);
        World world(table);
        Candidate candidate = world.candidate();
        candidate.freeze.devices.clear();
        try {
            plan_attach(world.machine(), candidate, U, {.via = Via::hook});
            FAIL("was not refused");
        } catch (const Error& error) {
            CHECK(error.reason().starts_with("writes under way in its table cannot be waited for"));
        }
        candidate.freeze.devices = {candidate.block.number};
        CHECK_FALSE(plan_attach(world.machine(), candidate, U, {.via = Via::hook}).empty());
    }
}

TEST_CASE("attach of what is attached does nothing, with another chunk size it fails", "[plan]")
{
    World world = linear_world();
    REQUIRE(world.run(plan_attach(world.machine(), world.candidate(), U)).done());
    CHECK(plan_attach(world.machine(), world.candidate(), Q).empty());
    CHECK(plan_attach(world.machine(), world.candidate(), Q, {.chunk = Sectors{32}}).empty());
    CHECK_THROWS_AS(plan_attach(world.machine(), world.candidate(), Q, {.chunk = Sectors{64}}), Error);
}

TEST_CASE("detach is attach backwards", "[plan]")
{
    for (World world : {linear_world(), segmented_world(), raid_world()}) {
        const std::string before = world.state();
        REQUIRE(world.run(plan_attach(world.machine(), world.candidate(), U)).done());
        REQUIRE(world.state() != before);
        const Machine machine = world.machine();
        REQUIRE(world.run(plan_detach(machine, machine.origins.at(0), false)).done());
        CHECK(world.state() == before);
    }
}

TEST_CASE("detach removes the base last, once nothing uses it", "[plan]")
{
    World world = segmented_world();
    REQUIRE(world.run(plan_attach(world.machine(), world.candidate(), U)).done());
    const Machine machine = world.machine();
    CHECK(to_text(plan_detach(machine, machine.origins.at(0), false)) ==
          "load    vg-home  0 2048 linear 8:16 0; 2048 2048 linear 8:32 64\n"
          "resume  vg-home\n"
          "remove  dmsnap-base-aaaaaaaa\n");
}

TEST_CASE("detach refuses while there are snapshots and names them", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    const Machine machine = world.machine();
    try {
        plan_detach(machine, machine.origins.at(0), false);
        FAIL("was not refused");
    } catch (const Error& error) {
        CHECK(error.reason() == "it has snapshots: s1");
    }
    CHECK(to_text(plan_detach(machine, machine.origins.at(0), true)) == "load    vg-home  0 4096 linear 8:16 384\n"
                                                                        "remove  dmsnap-s1\n"
                                                                        "resume  vg-home\n"
                                                                        "remove  dmsnap-store-bbbbbbbb\n");
}

TEST_CASE("detach never takes away an image that is in use", "[plan]")
{
    World world = world_with_snapshot(linear_world());
    Machine machine = world.machine();
    ImageState& image = machine.origins.at(0).images.at(0);
    image.info.open_count = 1;
    image.users = "mounted on /mnt";
    for (bool force : {false, true}) {
        try {
            plan_detach(machine, machine.origins.at(0), force);
            FAIL("was not refused");
        } catch (const Error& error) {
            CHECK(error.reason() == "it is mounted on /mnt");
        }
    }
}

TEST_CASE("detach goes by the tables where the module speaks another interface", "[plan]")
{
    World world = world_with_snapshot(segmented_world());
    Machine machine = world.machine();
    OriginState& origin = machine.origins.at(0);
    origin.status.details.reset();
    origin.points.clear();
    CHECK_THROWS_AS(plan_detach(machine, origin, false), Error);
    CHECK(to_text(plan_detach(machine, origin, true)) ==
          "load    vg-home  0 2048 linear 8:16 0; 2048 2048 linear 8:32 64\n"
          "remove  dmsnap-s1\n"
          "resume  vg-home\n"
          "remove  dmsnap-store-bbbbbbbb\n"
          "remove  dmsnap-base-aaaaaaaa\n");
    Machine two = machine;
    two.origins.push_back(origin);
    CHECK(to_text(plan_detach(two, origin, true)).find("dmsnap-store-") == std::string::npos);
    origin.images.clear();
    CHECK(to_text(plan_detach(machine, origin, false)).starts_with("load "));

    World disk = disk_world();
    REQUIRE(disk.run(plan_attach(disk.machine(), disk.candidate(), U)).done());
    Machine hooked = disk.machine();
    hooked.origins.at(0).status.details.reset();
    CHECK(to_text(plan_detach(hooked, hooked.origins.at(0), false)) == "message dmsnap-top-aaaaaaaa  unhook 10000\n"
                                                                       "remove  dmsnap-top-aaaaaaaa\n"
                                                                       "remove  dmsnap-base-aaaaaaaa\n");
}

TEST_CASE("detach keeps off what somebody else has suspended or loaded", "[plan]")
{
    const auto refusal_of = [](World& world) {
        const Machine machine = world.machine();
        try {
            plan_detach(machine, machine.origins.at(0), true);
        } catch (const Error& error) {
            return error.reason() + "; " + error.next_step();
        }
        return std::string();
    };
    for (const auto& make : {linear_world, segmented_world}) {
        World world = world_with_snapshot(make());
        FakeDevice& live = world.dm.devices[world.device];
        live.suspended = true;
        CHECK(refusal_of(world).starts_with("it is suspended; dmsetup resume 'vg-home'"));
        live.suspended = false;
        live.inactive = parse_table("0 8192 linear 8:16 0\n");
        CHECK(refusal_of(world).starts_with("somebody has loaded another table"));
        live.inactive = make().dm.devices[world.device].live; // a detach that died
        CHECK(refusal_of(world).empty());
    }
}
