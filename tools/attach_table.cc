// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "attach_table.h"

#include "base/text.h"
#include "ops/endpoint.h"
#include "ops/overwrite.h"
#include "point_words.h"
#include "session.h"
#include "world/overwrite_facts.h"

#include <cerrno>
#include <fmt/format.h>
#include <fstream>
#include <iostream>
#include <system_error>
#include <vector>

namespace dmsnap::tool {
namespace {

Error bad_file(const std::string& source, const char* operation, std::string reason)
{
    return Error(source == "-" ? "standard input" : "file \"" + printable(source) + "\"", operation, std::move(reason),
        "a table as dmsetup takes it");
}

/// As much of it as any table has.
std::string read_table(const std::string& source)
{
    constexpr std::size_t limit = 1 << 20;
    std::ifstream file;
    if (source != "-")
        file.open(source);
    if (!file)
        throw bad_file(source, "read the table", std::generic_category().message(errno));
    std::istream& in = source == "-" ? std::cin : file;
    std::string text(limit + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (in.bad() || (in.fail() && !in.eof()))
        throw bad_file(source, "read the table", "it cannot be read");
    if (text.size() > limit)
        throw bad_file(source, "use the table", "it is longer than any table").as(Fault::usage);
    return text;
}

/// The devices that a table names beside the base.
std::vector<std::string> devices_named(const Table& table)
{
    std::vector<std::string> specs;
    for (const TableLine& line : table) {
        const std::string text = to_text(line);
        for (std::string_view word : words(text))
            if (word.starts_with('/') || DeviceNumber::from_text(word))
                specs.emplace_back(word);
    }
    return specs;
}

/// What a table writes to is neither the device itself, in whatever guise, nor anybody else's.
void require_free_of_others(const Table& table, const BlockDevice& block, bool overwrite)
{
    for (const std::string& spec : devices_named(table)) {
        const OverwriteFacts facts = outwait([&] {
            OverwriteFacts look = read_overwrite_facts(resolve(spec), block);
            if (const auto reason = copy_refusal(look, Sectors{1}, true))
                throw Error(printable(spec), "use it in a table", *reason, "another device")
                    .as(may_pass(look) ? Fault::in_use : Fault::failed);
            return look;
        });
        if (const auto reason = copy_refusal(facts, Sectors{1}, overwrite))
            throw Error(printable(spec), "use it in a table", *reason, "--yes, if that may be lost");
    }
}

} // namespace

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
    const Table table = parse_endpoint_table(text, candidate, redirect);
    const Plan plan = plan_redirect(machine, candidate, redirect, table, deadline_of(arguments));
    require_free_of_others(table, block, arguments.has("yes"));
    if (copies_over_base(table, redirect) && !arguments.has("yes"))
        throw Error(block.name(), "attach a table in its place",
            "the table's first leg is another device, which would be copied over it",
            fmt::format("{} first, or --yes, if what is on it may be lost", base_word));
    change.carry_out(plan);
    return exit_done;
}

} // namespace dmsnap::tool
