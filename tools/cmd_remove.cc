// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "log.h"
#include "ops/remove.h"
#include "session.h"

#include <fmt/format.h>
#include <limits>

namespace dmsnap::tool {
namespace {

constexpr Option options[] = {
    {"keep-point", nullptr, "drop a snapshot's data and image, and keep its point for changed"},
    {"device", "DEVICE", "look on that device only"},
};

/// "DEVICE:NAME" or "NAME"; a name has no ':', a device may have.
FoundPoint find_object(const Machine& machine, const std::string& object, const std::string* device)
{
    const auto colon = object.rfind(':');
    if (colon == std::string::npos) {
        const OriginState* only = device != nullptr ? &require_attached(machine, *device, "remove a point") : nullptr;
        return find_point(machine, only, object);
    }
    return find_point(
        machine, &require_attached(machine, object.substr(0, colon), "remove a point"), object.substr(colon + 1));
}

int run_remove(const Arguments& arguments)
{
    arguments.require_objects(1, std::numeric_limits<std::size_t>::max());
    Change change(arguments, false);
    return for_each_object(arguments, [&](const std::string& object) {
        const Machine machine = survey(change.dm());
        const FoundPoint found = find_object(machine, object, arguments.value("device"));
        const Plan plan = plan_remove(machine, *found.origin, *found.point, arguments.has("keep-point"));
        if (plan.empty())
            log_warning(fmt::format("{}: it keeps no data already", object));
        change.carry_out(plan);
    });
}

} // namespace

const Command remove_command = {
    .name = "remove",
    .synopsis = "[--keep-point] [--device DEVICE] [OPTIONS] NAME...",
    .summary = "remove points, or only the data they keep",
    .options = options,
    .group = Group::mutates,
    .hidden = false,
    .run = run_remove,
};

} // namespace dmsnap::tool
