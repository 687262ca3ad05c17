// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "attach_table.h"
#include "base/text.h"
#include "log.h"
#include "ops/attach.h"
#include "point_words.h"
#include "session.h"

#include <fmt/format.h>
#include <limits>

namespace dmsnap::tool {
namespace {

constexpr Option options[] = {
    {"chunksize,c", "SIZE", "unit of tracking and copying, 4k to 1m, 16k unless given; default unit k"},
    {"deadline", "SECONDS", "how long the hook's freezing and waiting may take, 10 unless given"},
    {"table", "FILE|-", "what is to stand in the device's place: a table as dmsetup takes it, @base@ being the device"},
    {"via", "METHOD", "how to see what is written: table, hook, or auto, which is what there is without it"},
};

int run_attach(const Arguments& arguments)
{
    if (arguments.has("table"))
        return attach_table(arguments);
    arguments.require_objects(1, std::numeric_limits<std::size_t>::max());
    AttachWish wish{.via = via_of(arguments), .deadline = deadline_of(arguments)};
    if (const std::string* size = arguments.value("chunksize"))
        wish.chunk = checked_chunk(parse_size(*size, 'k'));

    Change change(arguments);
    return for_each_object(arguments, [&](const std::string& spec) {
        const BlockDevice block = change.hold(spec);
        const Machine machine = survey(change.dm());
        const Plan plan = plan_attach(machine, read_live(change.dm(), block, wish.via), draw_uuid(machine), wish);
        if (plan.empty())
            log_warning(fmt::format("{}: it is attached already", block.name()));
        change.carry_out(plan);
    });
}

} // namespace

const Command attach_command = {
    .name = "attach",
    .synopsis = "[-c|--chunksize SIZE] [--via auto|table|hook] [--deadline SECONDS] [OPTIONS] DEVICE... | "
                "--table FILE|- [--deadline SECONDS] [OPTIONS] DEVICE",
    .summary = "put the interpose target under a live device, or any table in its place",
    .options = options,
    .group = Group::mutates,
    .hidden = false,
    .run = run_attach,
};

} // namespace dmsnap::tool
