// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/text.h"
#include "log.h"
#include "ops/recover.h"
#include "session.h"

namespace dmsnap::tool {
namespace {

std::string lines_of(const std::vector<Repair>& repairs, bool with_steps)
{
    std::string text;
    for (const Repair& repair : repairs)
        text += to_text(repair) + "\n" + (with_steps ? to_text(repair.plan) : std::string());
    return text;
}

int name_problems(const std::vector<Problem>& problems)
{
    for (const Problem& problem : problems)
        log_error(Error(printable(problem.device), "recover it", printable(problem.what), problem.next_step));
    return problems.empty() ? exit_done : exit_failed;
}

int run_recover(const Arguments& arguments)
{
    arguments.require_objects(0, 0);
    Change change(arguments, {.recovery = true});
    if (change.dry_run()) {
        const Recovery recovery = plan_recover(survey_with_files(change.dm()));
        print(lines_of(recovery.repairs, true));
        return name_problems(recovery.in_the_way);
    }
    const Reconciled& reconciled = change.reconciled();
    print(lines_of(reconciled.done, false));
    const int code = name_problems(reconciled.in_the_way);
    if (!reconciled.left_to_do.empty())
        return exit_not_undone;
    return reconciled.failed.empty() ? code : exit_failed;
}

} // namespace

const Command recover_command = {
    .name = "recover",
    .synopsis = "[OPTIONS]",
    .summary = "finish or undo what a command that died has left",
    .options = {},
    .group = Group::mutates,
    .hidden = false,
    .run = run_recover,
};

} // namespace dmsnap::tool
