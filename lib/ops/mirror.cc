// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/mirror.h"

#include "base/error.h"
#include "base/text.h"
#include "ops/endpoint.h"
#include "ops/naming.h"
#include "world/copy.h"

#include <algorithm>
#include <fmt/format.h>

namespace dmsnap {
namespace {

/// What of a target is mirrored last, at either end.
Sectors end_of(Sectors size)
{
    constexpr std::uint64_t unit = 8; // blocks are no larger
    return {std::min(Sectors::exactly(copied_last).count, size.count / 4 / unit * unit)};
}

Table leg_table(const DeviceRef& base, DeviceNumber target, Sectors size)
{
    const Sectors end = end_of(size);
    const Sectors tail = size - end;
    return {{Sectors{0}, end, Linear{base, Sectors{0}}}, {end, tail - end, Linear{target, end}},
        {tail, end, Linear{base, tail}}};
}

Table whole(DeviceNumber target, Sectors size) { return {{Sectors{0}, size, Linear{target, Sectors{0}}}}; }

/// Of a device whose data is good and one that has none yet.  Kilobytes a second that md copies at least, however busy its
/// legs are: its own default, a MiB, would take days.
Table mirror_table(const Uuid& redirect, Sectors size)
{
    const std::string meta = to_text(DeviceRef(meta_name(redirect)));
    return {{Sectors{0}, size,
        OtherTarget{"raid", fmt::format("raid1 5 0 rebuild 1 min_recovery_rate 51200 2 {0} {1} {0} {2}", meta,
                                to_text(DeviceRef(base_name(redirect))), to_text(DeviceRef(leg_name(redirect))))}}};
}

/// Long enough for superblock and bitmap of any size.  Without such a device md would wait for ever, once a leg fails, for
/// somebody to note that.  The zeros that it reads there when it is resumed make it fill a failed leg anew.
Table meta_table() { return {{Sectors{0}, Sectors{1 << 17}, OtherTarget{"zero", ""}}}; }

/// The same in two lines: the note that a swap is to erase what the device is found by, for whoever has to finish it.
Table noted_meta_table()
{
    const Sectors half{1 << 16};
    return {{Sectors{0}, half, OtherTarget{"zero", ""}}, {half, half, OtherTarget{"zero", ""}}};
}

const Linear* only_linear(const Table& table)
{
    return table.size() == 1 ? std::get_if<Linear>(&table.front().target) : nullptr;
}

Error cannot(const EndpointState& endpoint, const char* operation, std::string reason, std::string next_step)
{
    return Error(endpoint.device().text(), operation, std::move(reason), std::move(next_step));
}

bool has_outgrown(const EndpointState& endpoint)
{
    return endpoint.live && endpoint.live->size.count != 0 && endpoint.live->size != length(endpoint.base->table);
}

/// Throws Error unless the target has all data.
MirrorState require_in_sync(const EndpointState& endpoint, const char* operation)
{
    const std::string device = shell_word(endpoint.device().text());
    const auto mirror = mirror_of(endpoint);
    if (!mirror)
        throw cannot(endpoint, operation, "it is not mirrored", fmt::format("dmsnap mirror {} TARGET first", device));
    require_undisturbed(endpoint, operation);
    if (!endpoint.takes_bios)
        throw cannot(endpoint, operation, "what is written does not go to its mirror",
            fmt::format("dmsnap detach {}, then again", device));
    if (has_outgrown(endpoint))
        throw cannot(endpoint, operation, "it has another size than its mirror",
            fmt::format("dmsnap detach {}, then mirror it anew", device));
    if (mirror->target_failed())
        throw cannot(endpoint, operation, "its mirror has failed", fmt::format("dmsnap detach {}", device));
    if (!mirror->in_sync())
        throw cannot(endpoint, operation, "its mirror is not in sync yet", fmt::format("dmsnap mirror {}", device));
    return *mirror;
}

MirrorState require_whole(const EndpointState& endpoint, const char* operation)
{
    MirrorState mirror = require_in_sync(endpoint, operation);
    if (!mirror.whole)
        throw cannot(endpoint, operation, "the ends of its mirror are still to be copied",
            fmt::format("dmsnap mirror {}", shell_word(endpoint.device().text())));
    return mirror;
}

} // namespace

std::optional<DeviceNumber> target_of_leg(const Table& leg)
{
    const auto* middle = leg.size() == 3 ? std::get_if<Linear>(&leg[1].target) : only_linear(leg);
    const auto* number = middle != nullptr ? std::get_if<DeviceNumber>(&middle->device) : nullptr;
    return number != nullptr ? std::optional(*number) : std::nullopt;
}

std::optional<MirrorState> mirror_of(const EndpointState& endpoint)
{
    const auto* line = endpoint.table.size() == 1 ? std::get_if<OtherTarget>(&endpoint.table.front().target) : nullptr;
    if (!endpoint.base || !endpoint.leg || line == nullptr || line->type != "raid")
        return std::nullopt;
    const RaidTable ours{"raid1", {endpoint.base->info.number.text(), endpoint.leg->info.number.text()}};
    const auto target = target_of_leg(endpoint.leg->table);
    if (!target || parse_raid_table(line->arguments) != ours)
        return std::nullopt;
    return MirrorState{
        *target, endpoint.leg->table.size() == 1, parse_raid_status(endpoint.status).value_or(RaidStatus())};
}

bool is_swap(const EndpointState& endpoint, const Table& table)
{
    const auto mirror = mirror_of(endpoint);
    return mirror && table == whole(mirror->target, length(endpoint.table));
}

Plan plan_mirror(const Machine& machine, const Candidate& candidate, const Uuid& redirect, const MirrorTarget& target,
    std::chrono::milliseconds deadline)
{
    const Sectors size = candidate.block.size;
    if (end_of(size).count == 0)
        throw Error(candidate.block.name(), "mirror it", "it is too small", "a copy of it");
    if (machine.through_endpoints(target.below).contains(candidate.block.number))
        throw Error(target.path, "make it a mirror", "it lies on the device, by the table in another one's place",
            "another device");
    Plan plan = {BlankEnds{{target.number, target.path, true}}};
    Plan rest = plan_redirect(machine, candidate, redirect, mirror_table(redirect, size), deadline);
    const auto make = [](const DmName& name, const std::string& uuid, const Table& table) {
        return Create{{name, uuid, table, Visibility::private_device, false}};
    };
    // Behind the base, which the leg stands on.
    rest.insert(rest.begin() + 1,
        {make(leg_name(redirect), leg_uuid(redirect), leg_table(base_name(redirect), target.number, size)),
            make(meta_name(redirect), meta_uuid(redirect), meta_table())});
    append(plan, std::move(rest));
    return plan;
}

Plan plan_complete(const EndpointState& endpoint)
{
    const MirrorState mirror = require_in_sync(endpoint, "complete its mirror");
    const Sectors size = length(endpoint.table);
    const Sectors end = end_of(size);
    const Sectors first{8}; // in which nearly everything says what it is
    const CopiedParts ends{"/dev/mapper/" + endpoint.base->info.name.text(), endpoint.target,
        {{size - end, end}, {first, end - first}, {Sectors{0}, first}}};
    return {Load{endpoint.leg->name(), whole(mirror.target, size)},
        SwapQuiet{{endpoint.name(), mirror.raid.health, ends, endpoint.leg->name()}, endpoint.table}};
}

BlankEnds blank_target(const EndpointState& endpoint)
{
    const Sectors size = length(endpoint.leg->table);
    return {{*target_of_leg(endpoint.leg->table), endpoint.target, false, size, end_of(size)}, true};
}

Plan plan_end(const EndpointState& endpoint)
{
    const auto mirror = mirror_of(endpoint);
    if (!mirror)
        return plan_direct(endpoint);
    const bool both = mirror->raid.health == "AA";
    if (mirror->whole && both && endpoint.takes_bios && !has_outgrown(endpoint))
        return plan_split(endpoint);
    Plan direct = plan_direct(endpoint);
    // Either of two good legs may fail before that, and md would go on with the other.
    if (both)
        for (Step& step : direct)
            if (const auto* resume = std::get_if<Resume>(&step); resume != nullptr && resume->name == endpoint.name())
                step = Step(SwapQuiet{{endpoint.name(), mirror->raid.health, {}, {}}, endpoint.table});
    if (endpoint.target.empty())
        return direct;
    if (mirror->whole && endpoint.target_size < length(endpoint.table)) { // no leg can be made on it any more
        direct.push_back(blank_target(endpoint));
        return direct;
    }
    // Its ends are used by nobody once the leg has three parts; and so whoever finds this half done knows what it is.
    Plan plan;
    if (mirror->whole) {
        plan.push_back(
            Load{endpoint.leg->name(), leg_table(endpoint.base->info.number, mirror->target, length(endpoint.table))});
        plan.push_back(Resume{endpoint.leg->name(), endpoint.leg->table, true, Visibility::private_device});
    }
    plan.push_back(blank_target(endpoint));
    append(plan, std::move(direct));
    return plan;
}

Plan plan_split(const EndpointState& endpoint)
{
    const MirrorState mirror = require_whole(endpoint, "split its mirror off");
    if (mirror.raid.health != "AA")
        throw cannot(endpoint, "split its mirror off", "it has failed itself, and lives by its mirror alone",
            fmt::format("dmsnap mirror --swap {}", shell_word(endpoint.device().text())));
    const Table idle = idle_table(endpoint);
    Plan plan = {Load{endpoint.name(), idle}, SwapQuiet{{endpoint.name(), mirror.raid.health, {}, {}}, endpoint.table}};
    EndpointState bare = endpoint;
    bare.table = idle;
    append(plan, plan_end_redirect(bare));
    return plan;
}

bool is_half_swapped(const EndpointState& endpoint)
{
    const auto other = serves_in_place(endpoint);
    return other && endpoint.leg && endpoint.leg->table.size() == 1 && target_of_leg(endpoint.leg->table) == other;
}

Plan plan_forget_swap(const EndpointState& endpoint)
{
    if (!endpoint.meta || endpoint.meta->table != noted_meta_table())
        return {};
    return {Load{endpoint.meta->name(), meta_table()},
        Resume{endpoint.meta->name(), endpoint.meta->table, false, Visibility::private_device}};
}

Plan plan_finish_swap(const EndpointState& endpoint)
{
    Plan plan;
    if (endpoint.meta && endpoint.meta->table == noted_meta_table())
        plan.push_back(EraseSignatures{"/dev/mapper/" + endpoint.base->info.name.text()});
    append(plan, plan_end_mirror(endpoint));
    return plan;
}

Plan plan_swap(const EndpointState& endpoint, bool erase)
{
    const MirrorState mirror = require_whole(endpoint, "swap it for its mirror");
    const Table note = erase ? noted_meta_table() : meta_table();
    Plan plan;
    if (endpoint.meta && endpoint.meta->table != note) {
        plan.push_back(Load{endpoint.meta->name(), note});
        plan.push_back(Resume{endpoint.meta->name(), endpoint.meta->table, false, Visibility::private_device});
    }
    plan.push_back(Load{endpoint.name(), whole(mirror.target, length(endpoint.table))});
    plan.push_back(SwapQuiet{{endpoint.name(), mirror.raid.health, {}, {}}, endpoint.table});
    EndpointState swapped = endpoint;
    if (swapped.meta)
        swapped.meta->table = note;
    append(plan, plan_finish_swap(swapped));
    return plan;
}

} // namespace dmsnap
