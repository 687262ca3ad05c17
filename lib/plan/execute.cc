// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "plan/execute.h"

#include "base/text.h"
#include "plan/execution.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <new>
#include <utility>

namespace dmsnap {
namespace {

bool no_way_back(const Step& step)
{
    const auto* resume = std::get_if<Resume>(&step);
    const auto* swap = std::get_if<SwapSuspended>(&step);
    const auto* quiet = std::get_if<SwapQuiet>(&step);
    return std::holds_alternative<Drop>(step) || std::holds_alternative<Release>(step) ||
           std::holds_alternative<Unhook>(step) || std::holds_alternative<Direct>(step) ||
           std::holds_alternative<RemoveStoreFile>(step) || (resume != nullptr && resume->final) ||
           (swap != nullptr && swap->final) || (quiet != nullptr && !quiet->swap.below);
}

void report(const Progress& progress, const std::string& line)
{
    if (progress)
        progress(line);
}

/// Undoes what stands in [first, last), newest first.
class WayBack {
public:
    WayBack(Plan::const_iterator first, Plan::const_iterator last, Execution& run, const Progress& progress)
        : first_(first), last_(last), run_(run), progress_(progress)
    {
    }

    /// The commands for what could not be undone, and remarks on what is somebody else's.
    std::vector<std::string> go() &&
    {
        while (last_ != first_) {
            const Step& step = *--last_;
            if (!stays_ || opens_store(step))
                go_back(step);
        }
        return std::move(left_);
    }

private:
    void go_back(const Step& step)
    {
        std::optional<Step> rest = step;
        try {
            const auto swap = swap_of(step, run_);
            const Stranger stranger = swap ? find_stranger(*swap, run_) : Stranger::none;
            if (stranger != Stranger::none) {
                leave(*swap, stranger);
                return;
            }
            rest = without_attached(step);
            if (!rest)
                return;
            report(progress_, "undo " + to_text(*rest));
            undo_step(*rest, run_);
        } catch (const Error& error) {
            report(progress_, fmt::format("not undone: {}\n", error.what()));
            append_by_hand(*rest);
            // The base below a device that may still be suspended tells why; the rest waits until that is done.
            if (std::holds_alternative<SwapSuspended>(step))
                while (last_ != first_)
                    append_by_hand(*--last_);
        }
    }

    /// A device that stays attached stands on all that was made for it but this.
    static bool opens_store(const Step& step)
    {
        const auto* create = std::get_if<Create>(&step);
        return create != nullptr && target_type(create->device.table.front().target) == INTERPOSE_TARGET_STORE;
    }

    void leave(const Swap& swap, Stranger stranger)
    {
        const auto remark = [&](const char* what) {
            left_.push_back(fmt::format("# {}: somebody else has {}", printable(swap.name.text()), what));
        };
        if (stranger == Stranger::swapped)
            remark("given it another table, which is left alone");
        else if (run_.dm.table(swap.name) != swap.before)
            remark(interpose_line(swap.before) == nullptr
                       ? "loaded another table for it, which is left alone: so it stays attached"
                       : "loaded another table for it, which is left alone: so it keeps the one it has");
        else if (require_info(run_.dm, swap.name, "see whether it runs").suspended)
            remark("loaded another table for it, which is left alone: so it stays suspended");
        else
            return;
        stays_ = stranger == Stranger::loaded;
    }

    /// What is left to undo of a step, but for the devices whose attach is undone after it: that ends what the step did
    /// there, and to undo it singly would be to leave a device attached for nothing, should we die in between.
    std::optional<Step> without_attached(const Step& step)
    {
        if (const auto* use = std::get_if<UseStore>(&step); use != nullptr && is_attached_here(use->name))
            return std::nullopt;
        const auto* take = std::get_if<Take>(&step);
        if (take == nullptr)
            return step;
        Take rest{{}, {}, take->message};
        rest.message.members.clear();
        for (std::size_t i = 0; i < take->names.size(); ++i)
            if (!is_attached_here(take->names[i])) {
                rest.names.push_back(take->names[i]);
                rest.message.members.push_back(take->message.members[i]);
            }
        return rest.names.empty() ? std::nullopt : std::optional<Step>(std::move(rest));
    }

    /// By an earlier step: a swap that is still ours to undo, or a hook.
    bool is_attached_here(const DmName& name)
    {
        return std::any_of(first_, last_, [&](const Step& earlier) {
            if (const auto* hook = std::get_if<Hook>(&earlier))
                return hook->name == name;
            const auto swap = swap_of(earlier, run_);
            return swap && swap->name == name && interpose_line(swap->before) == nullptr &&
                   find_stranger(*swap, run_) == Stranger::none;
        });
    }

    void append_by_hand(const Step& step)
    {
        for (std::string& command : undo_by_hand(step, run_))
            left_.push_back(std::move(command));
    }

    Plan::const_iterator first_;
    Plan::const_iterator last_;
    Execution& run_;
    const Progress& progress_;
    std::vector<std::string> left_;
    bool stays_ = false; ///< the device stays as it is, and what it stands on with it
};

std::vector<std::string> rest_by_hand(Plan::const_iterator first, Plan::const_iterator last)
{
    std::vector<std::string> commands;
    std::transform(first, last, std::back_inserter(commands), by_hand);
    return commands;
}

/// What goes wrong, if anything.
std::optional<Error> failure_of(const Step& step, Execution& run)
{
    try {
        do_step(step, run);
        return std::nullopt;
    } catch (const Error& error) {
        return error;
    } catch (const std::bad_alloc&) {
        return Error(to_text(step), "do it", ENOMEM, "again when there is memory");
    }
}

} // namespace

Outcome execute(const Plan& plan, Dm& dm, Host& host, const Progress& progress)
{
    Execution run{dm, host};
    auto way_back = plan.begin(); // steps before this one stay
    for (auto step = plan.begin(); step != plan.end(); ++step) {
        report(progress, to_text(*step));
        if (const auto error = failure_of(*step, run)) {
            auto left = WayBack(way_back, std::next(step), run, progress).go();
            if (way_back != plan.begin())
                for (std::string& command : rest_by_hand(way_back, plan.end()))
                    left.push_back(std::move(command));
            return {error, std::move(run.taken), std::move(left), std::move(run.remarks)};
        }
        if (no_way_back(*step))
            way_back = std::next(step);
    }
    return {std::nullopt, std::move(run.taken), {}, std::move(run.remarks)};
}

} // namespace dmsnap
