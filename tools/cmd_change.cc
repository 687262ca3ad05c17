// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "log.h"
#include "ops/change.h"
#include "point_words.h"
#include "session.h"

#include <fmt/format.h>
#include <limits>

namespace dmsnap::tool {
namespace {

constexpr Option options[] = {
    {"addtag", "TAG", "a word to find it by; may be repeated"},
    {"deltag", "TAG", "takes a word away; may be repeated"},
    {"data", "FILE|-", "up to 256 bytes that the point carries instead of those it has"},
    {"device", "DEVICE", "look on that device only"},
};

int run_change(const Arguments& arguments)
{
    arguments.require_objects(1, std::numeric_limits<std::size_t>::max());
    if (!arguments.has("addtag") && !arguments.has("deltag") && !arguments.has("data"))
        throw Error("command line", "go on", "--addtag, --deltag or --data is missing", "dmsnap help change")
            .as(Fault::usage);
    const WordsWish wish{tags_of(arguments, "addtag"), tags_of(arguments, "deltag"), data_of(arguments)};
    Change change(arguments);
    return for_each_object(arguments, [&](const std::string& object) {
        const Machine machine = survey(change.dm());
        const Plan plan =
            plan_change(machine, require_points(machine, object, arguments.value("device"), "change a point"), wish);
        if (plan.empty())
            log_info(fmt::format("{}: it is so already", object));
        change.carry_out(plan);
    });
}

} // namespace

const Command change_command = {
    .name = "change",
    .synopsis = "[--addtag TAG]... [--deltag TAG]... [--data FILE|-] [--device DEVICE] [OPTIONS] NAME...",
    .summary = "change what points carry: tags and data",
    .options = options,
    .group = Group::mutates,
    .hidden = false,
    .run = run_change,
};

} // namespace dmsnap::tool
