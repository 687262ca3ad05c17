// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "log.h"
#include "ops/attach.h"
#include "session.h"

#include <fmt/format.h>
#include <limits>

namespace dmsnap::tool {
namespace {

constexpr Option options[] = {
    {"chunksize,c", "SIZE", "unit of tracking and copying, 4k to 1m, 16k unless given; default unit k"},
    {"via", "table", "how to get under the device: by its own table"},
};

int run_attach(const Arguments& arguments)
{
    arguments.require_objects(1, std::numeric_limits<std::size_t>::max());
    std::optional<Sectors> chunk;
    if (const std::string* size = arguments.value("chunksize"))
        chunk = checked_chunk(parse_size(*size, 'k'));
    if (const std::string* via = arguments.value("via"); via != nullptr && *via != "table")
        throw Error("--via " + *via, "use it", "there is no other method than \"table\" yet", "without --via")
            .as(Fault::usage);

    Change change(arguments);
    return for_each_object(arguments, [&](const std::string& spec) {
        const BlockDevice block = change.hold(spec);
        const Machine machine = survey(change.dm());
        const Plan plan = plan_attach(machine, read_candidate(change.dm(), block), chunk, draw_uuid(machine));
        if (plan.empty())
            log_warning(fmt::format("{}: it is attached already", block.name()));
        change.carry_out(plan);
    });
}

} // namespace

const Command attach_command = {
    .name = "attach",
    .synopsis = "[-c|--chunksize SIZE] [--via table] [OPTIONS] DEVICE...",
    .summary = "put the interpose target under a live device",
    .options = options,
    .group = Group::mutates,
    .hidden = false,
    .run = run_attach,
};

} // namespace dmsnap::tool
