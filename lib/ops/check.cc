// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/check.h"

#include "base/text.h"
#include "ops/mirror.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>

namespace dmsnap {
namespace {

using Problems = std::vector<Problem>;

/// Whether a device is the origin's, or one of those that serve it.
bool belongs_to(const Machine& machine, const OriginState& origin, const std::string& device)
{
    const auto is = [&](const DmInfo& info) { return info.name.text() == device; };
    if (is(origin.info) || origin.device().text() == device || (origin.base && is(origin.base->info)))
        return true;
    const auto store = origin.store();
    const StoreState* state = store ? machine.find_store(*store) : nullptr;
    return (state != nullptr && is(state->info)) || std::any_of(origin.images.begin(), origin.images.end(),
                                                        [&](const ImageState& image) { return is(image.info); });
}

bool belongs_to(const EndpointState& endpoint, const std::string& device)
{
    const auto is = [&](const auto& part) { return part && part->info.name.text() == device; };
    return endpoint.device().text() == device || endpoint.name().text() == device || is(endpoint.base) ||
           is(endpoint.leg) || is(endpoint.meta);
}

/// Whether a device is one that dmsnap is attached to, or serves one; else it is told whichever device is asked about.
bool belongs_to_any(const Machine& machine, const std::string& device)
{
    return std::any_of(machine.origins.begin(), machine.origins.end(),
               [&](const OriginState& origin) { return belongs_to(machine, origin, device); }) ||
           std::any_of(machine.endpoints.begin(), machine.endpoints.end(),
               [&](const EndpointState& endpoint) { return belongs_to(endpoint, device); });
}

std::string remove_command(const OriginState& origin, const Point& point)
{
    return "dmsnap remove " + shell_word(fmt::format("{}:{}", origin.device().text(), point.name.text()));
}

void add_snapshots(Problems& found, const OriginState& origin)
{
    // The module knows one cause, the latest; which of several snapshots it made invalid is not told.
    const auto& failure = origin.status.details->failure;
    const std::string latest = failure ? fmt::format("; the latest cause on its device: {}", *failure) : std::string();
    for (const Point& point : origin.points)
        if (!point.valid)
            found.push_back(
                {origin.device().text(), fmt::format("the snapshot \"{}\" is invalid{}", point.name.text(), latest),
                    remove_command(origin, point)});
}

void add_store(Problems& found, const Machine& machine, const OriginState& origin, const Uuid& uuid)
{
    const auto say = [&](std::string what, std::string next_step) {
        found.push_back({origin.device().text(), std::move(what), std::move(next_step)});
    };
    const StoreState* store = machine.find_store(uuid);
    if (store == nullptr) {
        say("its store is gone", "dmsnap remove its snapshots");
        return;
    }
    const std::string name = store->info.name.text();
    const auto& details = store->status.details;
    if (store->status.state != INTERPOSE_STORE_OK)
        say(fmt::format("its store {} has failed", name),
            store->file.empty() ? "dmsnap remove its snapshots, then create with --store and another device"
                                : "dmsnap remove its snapshots, then create makes another file");
    else if (details && details->used + origin.line.chunk > details->usable)
        say(fmt::format("its store {} is full", name), "dmsnap remove snapshots that have served");
}

/// A live device of device-mapper's, whose table is none of dmsnap's.
void add_live(Problems& found, const Machine& machine, const BlockDevice& live)
{
    const DeviceState* device = machine.find_device(live.number);
    if (device == nullptr)
        return;
    const std::string name = shell_word(device->name().text());
    if (device->info.suspended)
        found.push_back(
            {live.name(), "it is suspended", fmt::format("dmsetup resume {}, once you know who suspended it", name)});
    if (device->info.inactive_table)
        found.push_back({live.name(), "somebody has loaded another table for it that is not active yet",
            fmt::format("dmsetup clear {}, once you know whose it is", name)});
}

void add_origin(Problems& found, const Machine& machine, const OriginState& origin)
{
    if (origin.live)
        add_live(found, machine, *origin.live);
    if (!origin.status.details) {
        found.push_back({origin.device().text(), "its module " + other_interface(origin.status.interface),
            which_to_upgrade(origin.status.interface)});
        return;
    }
    const std::string device = shell_word(origin.device().text());
    if (origin.pulled())
        found.push_back({origin.device().text(), "it is gone, and what was attached to it is not",
            "dmsnap detach --force " + device});
    else if (origin.shrunk())
        found.push_back({origin.device().text(), "it is smaller than when it was attached: its points end",
            "dmsnap detach --force " + device + ", then attach it anew"});
    else if (origin.new_space())
        found.push_back({origin.device().text(),
            "it has grown since it was attached: its points stay right, the next one begins a new chain of changes",
            "dmsnap changed, and the backup of it, then a new point once it has no snapshots"});
    if (origin.live && origin.base && !origin.base->leads_to_live())
        found.push_back({origin.device().text(),
            origin.base->info.name.text() + ", through which its old data is read, was given another table",
            "dmsnap detach --force " + device + ", then attach it anew"});
    if (origin.lost())
        found.push_back({origin.device().text(),
            std::string(origin.live ? "a write went over its border, or another table came between"
                                    : "another table came between") +
                ": its points have ended, the chain of changes is broken, and nothing is noted",
            "dmsnap detach --force " + device + ", then attach it anew"});
    else if (origin.status.state != INTERPOSE_STATE_ACTIVE && !origin.info.suspended)
        found.push_back({origin.device().text(), "its table does not take its writes: " + origin.status.state,
            "dmsetup info " + shell_word(origin.name().text())});
    add_snapshots(found, origin);
    if (const auto store = origin.store())
        add_store(found, machine, origin, *store);
}

void add_endpoint(Problems& found, const Machine& machine, const EndpointState& endpoint)
{
    if (endpoint.live)
        add_live(found, machine, *endpoint.live);
    const auto mirror = mirror_of(endpoint);
    const std::string device = endpoint.device().text();
    if (mirror && mirror->stuck())
        found.push_back({device,
            fmt::format("it cannot be read everywhere, and its mirror on {} is not complete", mirror->target.text()),
            "dmsnap detach " + shell_word(device)});
    if (!mirror || mirror->raid.health == "AA" || mirror->raid.health == "Aa")
        return;
    if (mirror->target_failed())
        found.push_back(
            {device, fmt::format("its mirror on {} has failed; it goes on by itself", mirror->target.text()),
                "dmsnap detach " + shell_word(device)});
    else
        found.push_back({device, fmt::format("it has failed, and lives by its mirror on {}", mirror->target.text()),
            "dmsnap mirror --swap " + shell_word(device)});
}

void add_gone(Problems& found, const OriginState& gone)
{
    for (const Point& point : gone.points)
        found.push_back({gone.name().text(),
            "its device was given another table: the snapshot is invalid, and the chain of changes is broken",
            "dmsnap remove " + shell_word(point.name.text())});
}

} // namespace

Problems find_problems_of(const Machine& machine, const EndpointState& endpoint)
{
    Problems all = find_problems(machine);
    std::erase_if(all, [&](const Problem& problem) {
        return !belongs_to(endpoint, problem.device) && belongs_to_any(machine, problem.device);
    });
    return all;
}

Problems find_orphans(const Machine& machine)
{
    Problems all = find_problems(machine);
    std::erase_if(all, [&](const Problem& problem) { return belongs_to_any(machine, problem.device); });
    return all;
}

Problems find_problems(const Machine& machine, const OriginState* only)
{
    Problems all;
    for (const OriginState& origin : machine.origins)
        add_origin(all, machine, origin);
    for (const EndpointState& endpoint : machine.endpoints)
        add_endpoint(all, machine, endpoint);
    for (const OriginState& gone : machine.gone)
        add_gone(all, gone);
    Recovery recovery = plan_recover(machine);
    for (const Repair& repair : recovery.repairs)
        all.push_back({repair.device.text(), repair.found, "dmsnap recover"});
    std::move(recovery.in_the_way.begin(), recovery.in_the_way.end(), std::back_inserter(all));
    if (only != nullptr)
        std::erase_if(all, [&](const Problem& problem) {
            return !belongs_to(machine, *only, problem.device) && belongs_to_any(machine, problem.device);
        });
    return all;
}

} // namespace dmsnap
