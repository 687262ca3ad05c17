// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

#include "catch.h"
#include "world.h"

#include "ops/parts.h"

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

std::string refusal(World& world, const StoreFileWish& file)
{
    return error_of([&] { plan_take_in_file(world, snapshot_wish("s2", Q), file); }).reason();
}

} // namespace

TEST_CASE("without a store a snapshot keeps its data in a file of the device's own filesystem", "[plan]")
{
    World world = large_linear_world();
    CHECK(to_text(plan_take_in_file(world, snapshot_wish(), file_wish())) ==
          "make    /home/.dmsnap-store-bbbbbbbb-2222-4222-8222-222222222222  4288k\n"
          "lay     dmsnap-file-bbbbbbbb  /home/.dmsnap-store-bbbbbbbb-2222-4222-8222-222222222222 "
          "length 8192 chunk 32\n"
          "format  /dev/mapper/dmsnap-file-bbbbbbbb  store bbbbbbbb-2222-4222-8222-222222222222 length 8192 "
          "granule 32\n"
          "create  dmsnap-store-bbbbbbbb  DMSNAP-bbbbbbbb-2222-4222-8222-222222222222-store  "
          "0 8192 interpose-store @dmsnap-file-bbbbbbbb 0\n"
          "load    vg-home  0 65536 interpose 8:16 384 aaaaaaaa-1111-4111-8111-111111111111 32 provisional\n"
          "resume  vg-home\n"
          "message vg-home  store bbbbbbbb-2222-4222-8222-222222222222\n"
          "sync    /home\n"
          "message vg-home  take cccccccc-3333-4333-8333-333333333333 snapshot s1 - 10000 253:0\n"
          "create  dmsnap-s1  DMSNAP-SNAP-cccccccc-3333-4333-8333-333333333333 read-only  "
          "0 65536 interpose-image aaaaaaaa-1111-4111-8111-111111111111 @taken\n");
}

TEST_CASE("such a file is laid past the origin, in whole chunks of it", "[plan]")
{
    World world = world_with_file(large_linear_world());
    const DmName file("dmsnap-file-bbbbbbbb");
    CHECK(to_text(world.dm.table(file)) == "0 64 linear 8:16 1408\n64 8128 linear 8:16 2432\n");
    const Machine machine = world.machine();
    REQUIRE(machine.stores.size() == 1);
    CHECK(where_inside(machine, machine.origins.front(), S) == std::vector<Run>{{{1024}, {64}}, {{2048}, {8128}}});
}

TEST_CASE("a further snapshot keeps its data in the same file, and the last one takes it along", "[plan]")
{
    World world = world_with_file(large_disk_world());
    Machine machine = world.machine();
    const Plan second = plan_take_in_file(world, snapshot_wish("s2", Q), file_wish());
    CHECK(to_text(second).find("make") == std::string::npos);
    CHECK(to_text(second).find("store ") == std::string::npos);
    const Plan removal = plan_remove(machine, {{&machine.origins.at(0), &machine.origins.at(0).points.at(0)}}, false);
    CHECK(to_text(removal).ends_with("remove  dmsnap-store-bbbbbbbb\n"
                                     "remove  dmsnap-file-bbbbbbbb\n"
                                     "delete  /home/.dmsnap-store-bbbbbbbb-2222-4222-8222-222222222222\n"));
}

TEST_CASE("a file is as large as it was asked to be, and not more than the filesystem can spare", "[plan]")
{
    World world = large_linear_world();
    StoreFileWish wish = file_wish();
    wish.size = Sectors{100001};
    CHECK(to_text(plan_take_in_file(world, snapshot_wish(), wish)).find("length 100032 chunk 32") != std::string::npos);
    wish.size = {};
    wish.room->free = {(1ULL << 30) / 100 * 5 + 4288 * 1024};
    CHECK_NOTHROW(plan_take_in_file(world, snapshot_wish(), wish));
    wish.room->free.count -= 1;
    CHECK(refusal(world, wish) == "it has no store yet, and its own filesystem cannot hold one: of /home, 4288k would "
                                  "be needed and 5 per cent left free, and <55.39m are");
    wish.room->free = {1ULL << 29};
    wish.room->read_only = true;
    CHECK(refusal(world, wish).ends_with("/home is mounted read-only"));
    wish.room->type = "btrfs";
    CHECK(refusal(world, wish).ends_with("/home is of type btrfs, only ext4 and xfs can"));
    wish.room = {};
    const Error none = error_of([&] { plan_take_in_file(world, snapshot_wish(), wish); });
    CHECK(none.reason().ends_with("none is mounted"));
    CHECK(none.fault() == Fault::usage);
    CHECK(none.next_step().starts_with("--store DEVICE"));
}

TEST_CASE("a raid that does not run yet below its origin cannot hold one", "[plan]")
{
    World world = raid_world();
    CHECK(refusal(world, file_wish()).ends_with("which does not run yet where the file would be written"));
}

TEST_CASE("a size is refused where no file is made", "[plan]")
{
    World world = world_with_file(large_linear_world());
    StoreFileWish wish = file_wish();
    wish.percent = 20;
    const Error error = error_of([&] { plan_take_in_file(world, snapshot_wish("s2", Q), wish); });
    CHECK(error.reason() == "it has a store already");
    CHECK(error.fault() == Fault::usage);
}

TEST_CASE("each device of a set has a file of its own", "[plan]")
{
    World world = large_set_world();
    const Plan plan = plan_set_in_files(world);
    const Outcome outcome = world.run(plan);
    REQUIRE(outcome.done());
    CHECK(world.host.files.size() == 2);
    const Machine machine = world.machine();
    CHECK(machine.origins.at(0).store() != machine.origins.at(1).store());
}

TEST_CASE("a filesystem too fragmented for a store is left as it was", "[plan]")
{
    World world = large_linear_world();
    const std::string before = world.state();
    StoreFileWish wish = file_wish();
    wish.size = Sectors{40000};
    const Outcome outcome = world.run(plan_take_in_file(world, snapshot_wish(), wish));
    REQUIRE(outcome.error);
    CHECK(outcome.error->reason().starts_with("its filesystem is so fragmented that of "));
    CHECK(world.state() == before);
}

TEST_CASE("a file left by a restart is removed, one in use is not", "[plan]")
{
    World world = world_with_file(large_linear_world());
    const std::string stale = "/home/.dmsnap-store-" + R.text();
    world.host.files.insert(stale);
    const Reconciled reconciled = world.recover();
    CHECK(reconciled.done.size() == 1);
    CHECK(world.host.files.size() == 1);
    CHECK(world.host.files.count(stale) == 0);
}

TEST_CASE("another device's file is no store", "[plan]")
{
    World world = large_set_world();
    REQUIRE(world.run(plan_take_in_file(world, snapshot_wish(), file_wish())).done());
    World second = world;
    second.device = DmName("vg-var");
    StoreWish wish = store_wish();
    wish.facts.device.number = world.dm.info(DmName("dmsnap-file-bbbbbbbb"))->number;
    CHECK(error_of([&] {
        dmsnap::plan_take(
            world.machine(), snapshot_wish("s2", Q), {{second.candidate(), Q, wish, {}, R, {}, Via::automatic}});
    }).reason() == "it is a file of another device's filesystem");
}
