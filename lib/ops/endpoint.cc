// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/endpoint.h"

#include "base/error.h"
#include "base/text.h"
#include "ops/attach.h"
#include "ops/naming.h"

#include <algorithm>
#include <fmt/format.h>

namespace dmsnap {
namespace {

constexpr const char* attaching = "attach a table in its place";

Table one_to_one(const DeviceRef& base, Sectors size) { return {{Sectors{0}, size, Linear{base, Sectors{0}}}}; }

Error bad_table(std::string reason, std::string next_step)
{
    return Error("table", "use it", std::move(reason), std::move(next_step)).as(Fault::usage);
}

/// Without comments and empty lines; dmsetup takes both.
std::string lines_of_table(std::string_view text)
{
    std::string result;
    for (std::string_view line : lines(text)) {
        const auto all = words(line);
        if (!all.empty() && !all.front().starts_with('#'))
            result += std::string(line) + "\n";
    }
    return result;
}

std::string with_base(std::string text, const DmName& base)
{
    const std::string name = to_text(DeviceRef(base));
    for (auto at = text.find(base_word); at != std::string::npos; at = text.find(base_word, at + name.size()))
        text.replace(at, base_word.size(), name);
    return text;
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
        const auto synced = split(all[count + 2], '/');
        in_sync = synced.size() == 2 && synced[0] == synced[1];
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

/// Whether what the table has written is all on the base, where it was meant to be.
bool leaves_all_on_base(const EndpointState& endpoint)
{
    if (does_nothing(endpoint, endpoint.table))
        return true;
    if (endpoint.table.size() != 1)
        return false;
    const auto* other = std::get_if<OtherTarget>(&endpoint.table.front().target);
    const std::string base = endpoint.base->info.number.text();
    if (other == nullptr)
        return false;
    if (other->type == "mirror")
        return mirrors_to(endpoint, endpoint.base->info.number);
    // "DEVICE OFFSET DELAY [DEVICE OFFSET DELAY]"
    const auto all = words(other->arguments);
    return other->type == "delay" && all.size() >= 3 && all[0] == base && all[1] == "0" &&
           (all.size() == 3 || (all.size() >= 6 && all[3] == base && all[4] == "0"));
}

} // namespace

bool does_nothing(const EndpointState& endpoint, const Table& table)
{
    return endpoint.base && table == one_to_one(endpoint.base->info.number, length(endpoint.table));
}

Table parse_endpoint_table(std::string_view text, const Candidate& candidate, const Uuid& redirect)
{
    const std::string lines = lines_of_table(text);
    if (lines.find(base_word) == std::string::npos)
        throw bad_table(fmt::format("it does not name {}", base_word),
            fmt::format("put {} where the device itself is to stand", base_word));
    Table table;
    try {
        table = parse_table(with_base(lines, base_name(redirect)));
    } catch (const Error& error) {
        throw bad_table(error.what(), "a table as dmsetup takes it: START LENGTH TARGET WORDS");
    }
    Sectors end{0};
    for (const TableLine& line : table) {
        if (line.start != end)
            throw bad_table(
                fmt::format("the line at sector {} does not begin where the one before ends", line.start.count),
                "lines without gaps, from sector 0 on");
        end = line.start + line.length;
    }
    if (table == one_to_one(base_name(redirect), end))
        throw bad_table("it does nothing", "a table that does something with the device");
    if (end != candidate.block.size)
        throw bad_table(fmt::format("it is {} sectors long, and {} is {}", end.count, candidate.block.name(),
                            candidate.block.size.count),
            "a table as long as the device");
    return table;
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
    const Table nothing = one_to_one(base, size);
    Plan plan = {
        Create{{base, base_uuid(redirect), {{Sectors{0}, size, InterposeBase{candidate.block.number, Sectors{0}}}},
            Visibility::private_device, false}},
        Create{{endpoint, endpoint_uuid(redirect), nothing, Visibility::private_device, false}},
    };
    if (!candidate.freeze.mount_points.empty())
        plan.push_back(SyncFilesystems{candidate.freeze.mount_points});
    plan.push_back(Redirect{base, candidate.block.name(), {endpoint, deadline, candidate.freeze.devices}});
    plan.push_back(Load{endpoint, table});
    plan.push_back(Resume{endpoint, nothing, false, Visibility::private_device});
    return plan;
}

Plan plan_end_redirect(const EndpointState& endpoint)
{
    Plan plan;
    if (endpoint.takes_bios)
        plan.push_back(Direct{endpoint.base->info.name});
    plan.push_back(Remove{endpoint.as_created()});
    if (endpoint.base)
        plan.push_back(Remove{endpoint.base->as_created()});
    return plan;
}

Plan plan_direct(const EndpointState& endpoint)
{
    const std::string device = endpoint.device().text();
    const std::string name = shell_word(endpoint.name().text());
    if (!endpoint.base || !endpoint.base->leads_to_live())
        throw Error(device, "detach", "its base has another table by now", "restart the machine");
    if (endpoint.info.suspended)
        throw Error(endpoint.name().text(), "detach", "it is suspended",
            fmt::format("dmsetup resume {}, once you know who suspended it", name));
    if (endpoint.info.inactive_table)
        throw Error(endpoint.name().text(), "detach", "somebody has loaded another table for it that is not active yet",
            fmt::format("dmsetup clear {}, once you know whose it is", name));
    if (!leaves_all_on_base(endpoint))
        throw Error(device, "detach",
            fmt::format("the table in its place may have data elsewhere: {}", shown_text(endpoint.table.front())),
            fmt::format("give {} a table that has all of it on {}, then again", endpoint.name().text(),
                endpoint.base->info.name.text()));
    Plan plan;
    Table nothing = one_to_one(endpoint.base->info.number, length(endpoint.table));
    EndpointState bare = endpoint;
    bare.table = nothing;
    if (!does_nothing(endpoint, endpoint.table)) {
        plan.push_back(Load{endpoint.name(), std::move(nothing)});
        plan.push_back(Resume{endpoint.name(), endpoint.table, false, Visibility::private_device});
    }
    append(plan, plan_end_redirect(bare));
    return plan;
}

} // namespace dmsnap
