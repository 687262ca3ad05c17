// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "fakes.h"

#include "machine/reconcile.h"
#include "machine/survey.h"
#include "ops/attach.h"
#include "ops/remove.h"
#include "ops/take.h"
#include "plan/execute.h"

#include <functional>
#include <stdexcept>

namespace dmsnap::test {

inline const Uuid U = *Uuid::from_text("aaaaaaaa-1111-4111-8111-111111111111");
inline const Uuid S = *Uuid::from_text("bbbbbbbb-2222-4222-8222-222222222222");
inline const Uuid P = *Uuid::from_text("cccccccc-3333-4333-8333-333333333333");
inline const Uuid R = *Uuid::from_text("eeeeeeee-5555-4555-8555-555555555555");
inline const Uuid Q = *Uuid::from_text("dddddddd-4444-4444-8444-444444444444");

inline const BarOthers nobody_else = {[](const DmInfo&) { return true; }, [](const DmInfo&) {}};

/// What `call` throws.
template <typename Call> Error error_of(Call call)
{
    try {
        call();
    } catch (const Error& error) {
        return error;
    }
    throw std::runtime_error("no error");
}

/// A machine with one device that may become an origin.
struct World {
    FakeDm dm;
    FakeHost host{dm.trouble};
    DmName device;
    /// By the hook: a plain disk of that number, without a name in device-mapper.
    std::optional<DeviceNumber> disk = {};
    Sectors disk_size = {4096};
    FreezeFacts freeze = {{{253, 0}}, {"/home"}, {}};

    explicit World(const std::string& table, const std::string& name = "vg-home") : device(dm.add(name, table)) {}
    World(const World& other)
        : dm(other.dm), host(other.host, dm.trouble), device(other.device), disk(other.disk),
          disk_size(other.disk_size), freeze(other.freeze)
    {
    }
    World& operator=(const World&) = delete;

    /// Nothing of this machine is looked at.
    static Roots nowhere() { return {"/nonexistent", "/nonexistent", "/nonexistent"}; }

    Machine machine()
    {
        Machine machine = survey(dm, nowhere());
        machine.links = host.links;
        for (const std::string& path : host.files)
            machine.files.push_back({path, *Uuid::from_text(path.substr(path.size() - S.text().size())), {253, 0}});
        for (StoreState& store : machine.stores) // what the table of mounts would tell
            for (const StoreFile& file : machine.files)
                if (file.store == store.status.store)
                    store.path = file.path;
        for (EndpointState& endpoint : machine.endpoints) // what sysfs would tell
            if (endpoint.leg) {
                endpoint.target = "/dev/sdh";
                endpoint.target_size = {4096};
            }
        return machine;
    }

    Candidate candidate()
    {
        Candidate candidate = read_candidate(dm, disk ? plain_disk() : mapped_device(), nowhere());
        candidate.freeze = freeze;
        return candidate;
    }

    BlockDevice plain_disk() const
    {
        BlockDevice block;
        block.number = *disk;
        block.kernel_name = disk->text(); // as survey() calls what sysfs does not show
        block.size = disk_size;
        block.logical_block = {512};
        return block;
    }

    BlockDevice mapped_device()
    {
        const DmInfo info = *dm.info(device);
        BlockDevice block;
        block.number = info.number;
        block.kernel_name = "dm-0";
        block.dm_name = device.text();
        block.size = length(dm.table(device));
        block.logical_block = {512};
        return block;
    }

    /// As the next command does after a kill.
    Reconciled recover()
    {
        dm.trouble.live_on();
        const auto look = [&] { return machine(); };
        return reconcile(dm, host, look, nobody_else);
    }

    Outcome run(const Plan& plan) { return execute(plan, dm, host); }
    std::string state() const
    {
        std::string text = dm.state();
        for (const std::string& link : host.links)
            text += "link " + link + "\n";
        for (const std::string& file : host.files)
            text += "file " + file + "\n";
        return text;
    }
};

inline World linear_world() { return World("0 4096 linear 8:16 384\n"); }
inline World segmented_world() { return World("0 2048 linear 8:16 0\n2048 2048 linear 8:32 64\n"); }

inline World raid_world() { return World("0 4096 raid raid1 3 0 region_size 1024 2 8:16 8:32 8:48 8:64\n"); }

inline World disk_world()
{
    World world = linear_world();
    world.disk = DeviceNumber{8, 1};
    return world;
}

// Large enough for a file that is a store.
inline World large_linear_world() { return World("0 65536 linear 8:16 384\n"); }
inline World large_segmented_world() { return World("0 32768 linear 8:16 0\n32768 32768 linear 8:32 64\n"); }
inline World large_disk_world()
{
    World world = large_linear_world();
    world.disk = DeviceNumber{8, 1};
    world.disk_size = {65536};
    return world;
}
inline World large_set_world()
{
    World world = large_linear_world();
    world.dm.add("vg-var", "0 32768 linear 8:64 0\n32768 32768 linear 8:80 0\n");
    return world;
}

inline OverwriteFacts clean_store()
{
    OverwriteFacts facts;
    facts.device.number = {8, 48};
    facts.device.kernel_name = "sdd";
    facts.device.size = {65541};
    facts.device.logical_block = {512};
    return facts;
}

inline StoreWish store_wish() { return {clean_store(), "/dev/sdd", S, false}; }

/// Of one device.
struct SoleWish : PointWish {
    using PointWish::PointWish;
    Uuid uuid;
    Uuid new_origin;
    std::optional<Sectors> chunk;
    Via via = Via::automatic;
};

inline Plan plan_take(
    const Machine& machine, const Candidate& candidate, const SoleWish& wish, const std::optional<StoreWish>& store)
{
    return dmsnap::plan_take(machine, wish, {{candidate, wish.uuid, store, {}, wish.new_origin, wish.chunk, wish.via}});
}

/// A snapshot whose store is a file of the filesystem on the device.
inline Plan plan_take_in_file(World& world, const PointWish& wish, const StoreFileWish& file)
{
    return dmsnap::plan_take(
        world.machine(), wish, {{world.candidate(), P, std::nullopt, file, U, std::nullopt, Via::automatic}});
}

inline StoreFileWish file_wish()
{
    return {false, StoreRoom{"/home", "ext4", false, {1ULL << 30}, {1ULL << 29}}, {}, {}, S};
}

inline SoleWish snapshot_wish(const std::string& name = "s1", const Uuid& uuid = P)
{
    SoleWish wish(PointKind::snapshot, PointName(name));
    wish.uuid = uuid;
    wish.new_origin = U;
    return wish;
}

inline SoleWish checkpoint_wish(const std::string& name, const Uuid& uuid)
{
    SoleWish wish(PointKind::checkpoint, PointName(name));
    wish.uuid = uuid;
    wish.new_origin = U;
    return wish;
}

/// Two devices, of which only the first has a filesystem.
inline World set_world()
{
    World world = linear_world();
    world.dm.add("vg-var", "0 2048 linear 8:64 0\n2048 2048 linear 8:80 0\n");
    return world;
}

/// A point of both, on vg-home to be P and on vg-var Q.
inline Plan plan_set(World& world, const PointWish& wish, const std::optional<StoreWish>& store)
{
    World second = world;
    second.device = DmName("vg-var");
    second.freeze = {};
    return dmsnap::plan_take(world.machine(), wish,
        {{world.candidate(), P, store, {}, U, {}, Via::automatic},
            {second.candidate(), Q, store, {}, R, {}, Via::automatic}});
}

/// As plan_set(), each in a file on itself.
inline Plan plan_set_in_files(World& world)
{
    World second = world;
    second.device = DmName("vg-var");
    second.freeze = {};
    StoreFileWish other = file_wish();
    other.room->mount_point = "/var";
    other.new_store = Q;
    return dmsnap::plan_take(world.machine(), snapshot_wish(),
        {{world.candidate(), P, {}, file_wish(), U, {}, Via::automatic},
            {second.candidate(), Q, {}, other, R, {}, Via::automatic}});
}

/// Attached, with snapshot "s1" in a file on itself.
inline World world_with_file(World world)
{
    if (!world.run(plan_take_in_file(world, snapshot_wish(), file_wish())).done())
        throw std::runtime_error("no snapshot");
    return world;
}

/// Attached, with snapshot "s1" in store S.
inline World world_with_snapshot(World world)
{
    const Outcome outcome = world.run(plan_take(world.machine(), world.candidate(), snapshot_wish(), store_wish()));
    if (outcome.error)
        throw *outcome.error;
    return world;
}

/// A plan to try in every way, and the machine it is for.
struct Scenario {
    const char* name;
    std::function<World()> make;
    std::function<Plan(World&)> plan;
};

} // namespace dmsnap::test
