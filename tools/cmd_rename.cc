// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "log.h"
#include "ops/change.h"
#include "session.h"

#include <fmt/format.h>

namespace dmsnap::tool {
namespace {

constexpr Option options[] = {
    {"device", "DEVICE", "look on that device only"},
};

int run_rename(const Arguments& arguments)
{
    arguments.require_objects(2, 2);
    const std::string& object = arguments.objects()[0];
    const PointName name(arguments.objects()[1]);
    Change change(arguments);
    const Machine machine = survey(change.dm());
    const Plan plan =
        plan_rename(machine, require_points(machine, object, arguments.value("device"), "rename a point"), name);
    if (plan.empty())
        log_warning(fmt::format("{}: it has that name already", object));
    change.carry_out(plan);
    return exit_done;
}

} // namespace

const Command rename_command = {
    .name = "rename",
    .synopsis = "[--device DEVICE] [OPTIONS] [DEVICE:]OLD NEW",
    .summary = "give a point another name, and its image too",
    .options = options,
    .group = Group::mutates,
    .hidden = false,
    .run = run_rename,
};

} // namespace dmsnap::tool
