// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/endpoint.h"

#include "base/error.h"
#include "base/text.h"
#include "ops/attach.h"
#include "ops/naming.h"
#include "table/raid.h"

#include <algorithm>
#include <fmt/format.h>

namespace dmsnap {
namespace {

constexpr const char* attaching = "attach a table in its place";

/// In two lines, as nobody else would write it: that is how it is known for dmsnap's.
Table idle_table(const DeviceRef& base, Sectors size)
{
    const Sectors first{std::min<std::uint64_t>(8, size.count - 1)};
    return {{Sectors{0}, first, Linear{base, Sectors{0}}}, {first, size - first, Linear{base, first}}};
}

Error bad_table(const Candidate& candidate, std::string reason, std::string next_step)
{
    return Error(candidate.block.name(), attaching, std::move(reason), std::move(next_step)).as(Fault::usage);
}

/// A line of a user's, the base being called by its name.
std::string with_base(std::string_view line, const DmName& base)
{
    std::string text;
    for (std::string_view word : words(line))
        text += fmt::format(
            "{}{}", text.empty() ? "" : " ", word == base_word ? to_text(DeviceRef(base)) : std::string(word));
    return text;
}

/// Without comments and empty lines; dmsetup takes both.  No line is told to anybody: it may have a key.
Table parse_lines(std::string_view text, const Candidate& candidate, const DmName& base)
{
    Table table;
    std::size_t number = 0;
    for (std::string_view line : lines(text)) {
        ++number;
        const auto all = words(line);
        if (all.empty() || all.front().starts_with('#'))
            continue;
        try {
            if (std::any_of(line.begin(), line.end(), [](unsigned char c) { return c < ' ' && c != '\t'; }))
                throw bad_table(candidate, "", "");
            table.push_back(parse_line(with_base(line, base)));
        } catch (const Error&) {
            throw bad_table(candidate, fmt::format("line {} of the table is none", number),
                "lines as dmsetup takes them: START LENGTH TARGET WORDS");
        }
    }
    return table;
}

/// Whether a table names the base.
bool names(const Table& table, const DmName& base)
{
    const std::string name = to_text(DeviceRef(base));
    return std::any_of(table.begin(), table.end(), [&](const TableLine& line) {
        const std::string text = to_text(line);
        const auto all = words(text);
        return std::find(all.begin(), all.end(), name) != all.end();
    });
}

bool is_whole(std::string_view ratio)
{
    const auto parts = split(ratio, '/');
    return parts.size() == 2 && parts[0] == parts[1];
}

/// "2 253:3 253:4 48/48 1 AA 1 core", behind the type: whether all of it is in sync, and whether a leg is alive.
struct MirrorHealth {
    bool in_sync = false;
    std::vector<std::pair<std::string, bool>> legs; ///< device, and whether it is alive

    explicit MirrorHealth(std::string_view status)
    {
        const auto all = words(status);
        const auto count = all.size() > 1 ? parse_u64(all[1]).value_or(0) : 0;
        if (all.empty() || all[0] != "mirror" || count == 0 || all.size() < count + 5)
            return;
        in_sync = is_whole(all[count + 2]);
        const std::string_view health = all[count + 4];
        for (std::size_t i = 0; i < count && i < health.size(); ++i)
            legs.emplace_back(all[i + 2], health[i] == 'A');
    }
};

/// Whether a mirror has all data on the base: its first leg, or any once they are in sync.
bool mirrors_to(const EndpointState& endpoint, const DeviceNumber& base)
{
    const MirrorHealth health(endpoint.status);
    for (std::size_t i = 0; i < health.legs.size(); ++i)
        if (health.legs[i].first == base.text())
            return health.legs[i].second && (i == 0 || health.in_sync);
    return false;
}

/// Whether a raid1 of dm-raid has all data on the base, in sync or as the one leg that is good.
bool raid1_keeps_all_on(std::string_view arguments, std::string_view status, const std::string& base)
{
    const auto table = parse_raid_table(arguments);
    const auto state = parse_raid_status(status);
    if (!table || table->level != "raid1" || !state || state->health.size() != table->data.size())
        return false;
    const std::string& health = state->health;
    const auto leg = std::find(table->data.begin(), table->data.end(), base) - table->data.begin();
    return static_cast<std::size_t>(leg) < health.size() && health[static_cast<std::size_t>(leg)] == 'A' &&
           (state->in_sync() || std::count(health.begin(), health.end(), 'A') == 1);
}

/// Whether what the table has written is all on the base, where it was meant to be.
bool leaves_all_on_base(const EndpointState& endpoint)
{
    const DeviceRef number = endpoint.base->info.number;
    if (std::all_of(endpoint.table.begin(), endpoint.table.end(), [&](const TableLine& line) {
            const auto* linear = std::get_if<Linear>(&line.target);
            return linear != nullptr && linear->device == number && linear->offset == line.start;
        }))
        return true;
    if (endpoint.table.size() != 1)
        return false;
    const auto* other = std::get_if<OtherTarget>(&endpoint.table.front().target);
    const std::string base = endpoint.base->info.number.text();
    if (other == nullptr)
        return false;
    if (other->type == "raid")
        return raid1_keeps_all_on(other->arguments, endpoint.status, base);
    if (other->type == "mirror")
        return mirrors_to(endpoint, endpoint.base->info.number);
    // "DEVICE OFFSET DELAY [DEVICE OFFSET DELAY]"
    const auto all = words(other->arguments);
    return other->type == "delay" && all.size() >= 3 && all[0] == base && all[1] == "0" &&
           (all.size() == 3 || (all.size() == 6 && all[3] == base && all[4] == "0"));
}

} // namespace

Table idle_table(const EndpointState& endpoint)
{
    return idle_table(endpoint.base->info.number, length(endpoint.base->table));
}

bool does_nothing(const EndpointState& endpoint, const Table& table)
{
    return endpoint.base && table == idle_table(endpoint);
}

std::optional<DeviceNumber> serves_in_place(const EndpointState& endpoint)
{
    const auto* line = endpoint.table.size() == 1 ? std::get_if<Linear>(&endpoint.table.front().target) : nullptr;
    const auto* number = line != nullptr ? std::get_if<DeviceNumber>(&line->device) : nullptr;
    if (number == nullptr || line->offset != Sectors{0} ||
        (endpoint.base &&
            (*number == endpoint.base->info.number || length(endpoint.base->table) != length(endpoint.table))))
        return std::nullopt;
    return *number;
}

Table parse_endpoint_table(std::string_view text, const Candidate& candidate, const Uuid& redirect)
{
    const DmName base = base_name(redirect);
    Table table = parse_lines(text, candidate, base);
    if (!names(table, base))
        throw bad_table(candidate, fmt::format("the table does not name {}", base_word),
            fmt::format("put {} where the device itself is to stand", base_word));
    Sectors end{0};
    for (const TableLine& line : table) {
        if (line.start != end)
            throw bad_table(candidate,
                fmt::format("the table's line at sector {} does not begin where the one before ends", line.start.count),
                "lines without gaps, from sector 0 on");
        end = line.start + line.length;
    }
    if (end != candidate.block.size)
        throw bad_table(candidate,
            fmt::format("the table is {} sectors long, and the device {}", end.count, candidate.block.size.count),
            "a table as long as the device");
    return table;
}

bool copies_over_base(const Table& table, const Uuid& redirect)
{
    const std::string base = to_text(DeviceRef(base_name(redirect)));
    return std::any_of(table.begin(), table.end(), [&](const TableLine& line) {
        const auto* other = std::get_if<OtherTarget>(&line.target);
        if (other == nullptr || (other->type != "mirror" && other->type != "raid"))
            return false;
        if (other->type == "raid") {
            const auto raid = parse_raid_table(other->arguments);
            return !raid || raid->data.empty() || raid->data.front() != base;
        }
        // "LOG N ARGUMENT... LEGS DEVICE OFFSET..."
        const auto all = words(other->arguments);
        const auto count = all.size() > 1 ? parse_u64(all[1]).value_or(all.size()) : all.size();
        return count >= all.size() || count + 3 >= all.size() || all[count + 3] != base;
    });
}

Plan plan_redirect(const Machine& machine, const Candidate& candidate, const Uuid& redirect, const Table& table,
    std::chrono::milliseconds deadline)
{
    if (const OriginState* origin = machine.find(candidate.block.number))
        throw Error(candidate.block.name(), attaching, "it is attached for snapshots and changes",
            fmt::format("dmsnap detach {} first", shell_word(origin->device().text())));
    require_hookable(machine, candidate);
    require_carries_no_store(machine, candidate);
    const DmName base = base_name(redirect);
    const DmName endpoint = endpoint_name(redirect);
    for (const DmName& name : {base, endpoint})
        if (machine.has_name(name))
            throw Error(candidate.block.name(), attaching, name.text() + " exists already", "again");
    const Sectors size = candidate.block.size;
    const Table idle = idle_table(base, size);
    Plan plan = {
        Create{{base, base_uuid(redirect), {{Sectors{0}, size, InterposeBase{candidate.block.number, Sectors{0}}}},
            Visibility::private_device, false}},
        Create{{endpoint, endpoint_uuid(redirect), idle, Visibility::private_device, false}},
    };
    if (!candidate.freeze.mount_points.empty())
        plan.push_back(SyncFilesystems{candidate.freeze.mount_points});
    plan.push_back(Redirect{base, candidate.block.name(), endpoint, idle, deadline, candidate.freeze.devices});
    plan.push_back(Load{endpoint, table});
    plan.push_back(Resume{endpoint, idle, false, Visibility::private_device});
    return plan;
}

Plan plan_end_mirror(const EndpointState& endpoint)
{
    Plan plan;
    for (const auto* part : {&endpoint.meta, &endpoint.leg}) // the leg tells that this is not done
        if (*part)
            plan.push_back(
                Remove{{(*part)->info.name, (*part)->info.uuid, (*part)->table, Visibility::private_device, false}});
    return plan;
}

Plan plan_end_redirect(const EndpointState& endpoint)
{
    Plan plan;
    if (endpoint.takes_bios)
        plan.push_back(
            Direct{endpoint.base->info.name, endpoint.device().text(), endpoint.name(), idle_table(endpoint)});
    plan.push_back(Remove{endpoint.as_created()});
    append(plan, plan_end_mirror(endpoint));
    if (endpoint.base)
        plan.push_back(Remove{endpoint.base->as_created()});
    return plan;
}

void require_undisturbed(const EndpointState& endpoint, const char* operation)
{
    const std::string device = endpoint.device().text();
    const std::string name = shell_word(endpoint.name().text());
    if (!endpoint.base || !endpoint.base->leads_to_live())
        throw Error(device, operation, "its base has another table by now", "restart the machine");
    for (const DmInfo* info : {&endpoint.info, &endpoint.base->info})
        if (info->suspended)
            throw Error(device, operation, fmt::format("{} is suspended", info->name.text()),
                fmt::format("dmsetup resume {}, once you know who suspended it", shell_word(info->name.text())));
    if (endpoint.info.inactive_table)
        throw Error(endpoint.name().text(), operation,
            "somebody has loaded another table for it that is not active yet",
            fmt::format("dmsetup clear {}, once you know whose it is", name));
}

Plan plan_direct(const EndpointState& endpoint, bool in_use)
{
    const std::string device = endpoint.device().text();
    require_undisturbed(endpoint, "detach");
    const auto other = serves_in_place(endpoint);
    if (other && in_use)
        throw Error(device, "detach", fmt::format("it runs on {}, and its own data is old", other->text()),
            fmt::format("umount it, detach it, and mount {}; or restart the machine from that", other->text()));
    if (!other && !leaves_all_on_base(endpoint))
        throw Error(device, "detach",
            fmt::format("the table in its place may have data elsewhere, or is not in sync yet: {}", endpoint.status),
            fmt::format(
                "again once it is in sync, or first dmsetup load and resume for {} a table that has all of it on {}",
                endpoint.name().text(), endpoint.base->info.name.text()));
    Plan plan;
    EndpointState bare = endpoint;
    bare.table = idle_table(endpoint);
    if (!does_nothing(endpoint, endpoint.table)) {
        plan.push_back(Load{endpoint.name(), bare.table});
        plan.push_back(Resume{endpoint.name(), endpoint.table, true, Visibility::private_device});
    }
    append(plan, plan_end_redirect(bare));
    return plan;
}

} // namespace dmsnap
