// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/text.h"
#include "log.h"
#include "ops/attach.h"
#include "ops/endpoint.h"
#include "point_words.h"
#include "session.h"

#include <fmt/format.h>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>

namespace dmsnap::tool {
namespace {

constexpr Option options[] = {
    {"chunksize,c", "SIZE", "unit of tracking and copying, 4k to 1m, 16k unless given; default unit k"},
    {"deadline", "SECONDS", "how long the hook's freezing and waiting may take, 10 unless given"},
    {"table", "FILE|-", "what is to stand in the device's place: a table as dmsetup takes it, @base@ being the device"},
    {"via", "METHOD", "how to see what is written: table, hook, or auto, which is what there is without it"},
};

/// As much of it as any table has.
std::string read_table(const std::string& source)
{
    constexpr std::size_t limit = 1 << 20;
    std::ifstream file;
    if (source != "-") {
        file.open(source);
        if (!file)
            throw Error("file \"" + printable(source) + "\"", "read the table", errno, "a file that can be read");
    }
    std::istream& in = source == "-" ? std::cin : file;
    std::string text(limit + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (in.bad() || text.size() > limit)
        throw Error("file \"" + printable(source) + "\"", "read the table", "it is longer than any table",
            "a table as dmsetup takes it")
            .as(Fault::usage);
    return text;
}

int attach_table(const Arguments& arguments)
{
    arguments.require_objects(1, 1);
    for (const char* other : {"chunksize", "via"})
        if (arguments.has(other))
            throw Error(
                "command line", "go on", fmt::format("--{} makes no sense with --table", other), "dmsnap help attach")
                .as(Fault::usage);
    const std::string text = read_table(*arguments.value("table"));
    Change change(arguments);
    const BlockDevice block = change.hold(arguments.objects().front());
    const Machine machine = survey(change.dm());
    const Candidate candidate = read_live(change.dm(), block, Via::hook);
    const Uuid redirect = draw_uuid(machine);
    change.carry_out(plan_redirect(
        machine, candidate, redirect, parse_endpoint_table(text, candidate, redirect), deadline_of(arguments)));
    return exit_done;
}

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
