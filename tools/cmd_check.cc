// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/text.h"
#include "json.h"
#include "ops/check.h"
#include "session.h"

#include <algorithm>
#include <fmt/format.h>

namespace dmsnap::tool {
namespace {

using Problems = std::vector<Problem>;

std::string basic(const Problems& problems)
{
    std::string text;
    for (const Problem& problem : problems)
        text += fmt::format("{}: {}{}{}\n", printable(problem.device), printable(problem.what),
            problem.next_step.empty() ? "" : "; try: ", problem.next_step);
    return text;
}

std::string json(const Problems& problems)
{
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const Problem& problem : problems)
        rows.push_back({{"device", problem.device}, {"problem", problem.what}, {"next_step", problem.next_step}});
    return report_text("problem", std::move(rows));
}

void add(Problems& all, Problems more)
{
    for (Problem& problem : more)
        if (std::find(all.begin(), all.end(), problem) == all.end())
            all.push_back(std::move(problem));
}

/// What is not well with one device. One that is not attached may have been, until somebody gave it another table.
Problems problems_of(const Machine& machine, const std::string& spec)
{
    const BlockDevice block = resolve_live(machine, spec);
    if (const OriginState* origin = find_attached(machine, block))
        return find_problems(machine, origin);
    if (const EndpointState* endpoint = machine.find_endpoint(block.number))
        return find_problems_of(machine, *endpoint);
    Problems problems = {{block.name(), "it is not attached", "dmsnap attach, and a full backup"}};
    add(problems, find_orphans(machine));
    return problems;
}

int run_check(const Arguments& arguments)
{
    const bool as_json = wants_json(arguments);
    const auto dm = start();
    const Machine machine = survey_with_files(*dm);
    Problems problems;
    int code = exit_done;
    if (arguments.objects().empty())
        problems = find_problems(machine);
    else
        code = for_each_object(arguments, [&](const std::string& spec) { add(problems, problems_of(machine, spec)); });
    print(as_json ? json(problems) : basic(problems));
    return problems.empty() ? code : exit_failed;
}

} // namespace

const Command check_command = {
    .name = "check",
    .synopsis = "[--reportformat basic|json] [OPTIONS] [DEVICE...]",
    .summary = "say what is not well; succeeds only if all is",
    .options = {},
    .group = Group::reports,
    .hidden = false,
    .run = run_check,
};

} // namespace dmsnap::tool
