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

int run_remove(const Arguments& arguments)
{
    arguments.require_objects(1, std::numeric_limits<std::size_t>::max());
    Change change(arguments);
    return for_each_object(arguments, [&](const std::string& object) {
        const Plan plan = change.plan([&](const Machine& machine) {
            return plan_remove(machine, require_points(machine, object, arguments.value("device"), "remove a point"),
                arguments.has("keep-point"));
        });
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
