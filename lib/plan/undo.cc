// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/error.h"
#include "base/text.h"
#include "base/visit.h"
#include "plan/execution.h"
#include "plan/query.h"

#include <algorithm>
#include <functional>

namespace dmsnap {
namespace {

void remove_created(const NewDevice& device, Dm& dm)
{
    // Another's device of that name is why a create failed, not what it left behind.
    const auto info = dm.info(device.name);
    if (info && info->uuid == device.uuid)
        dm.remove(device.name);
}

void undo(const FormatStore&, Execution&) {}

void undo(const MakeStoreFile& step, Execution& run) { run.host.remove_store_file(step.path, step.device); }

void undo(const RemoveStoreFile&, Execution&) {}

void undo(const LayStoreFile& step, Execution& run) { remove_created({step.name, step.uuid, {}}, run.dm); }

void undo(const BlankEnds&, Execution&) {}

void undo(const EraseSignatures&, Execution&) {}

void undo(const Create& step, Execution& run) { remove_created(step.device, run.dm); }

void undo(const Prepare& step, Execution& run) { remove_created(step.device, run.dm); }

void undo(const Load& step, Execution& run)
{
    if (!require_info(run.dm, step.name, "clear its table").inactive_table)
        return;
    const auto ours = run.loaded.find(step.name);
    // Another one has taken the place of ours.
    if (run.dm.inactive_table(step.name) == (ours != run.loaded.end() ? ours->second : resolved(step.table, run)))
        run.dm.clear(step.name);
}

void undo(const Clear& step, Execution& run)
{
    if (!require_info(run.dm, step.name, "load its table again").inactive_table)
        run.dm.load(step.name, step.table);
}

void undo(const Resume& step, Execution& run)
{
    if (run.swapping.count(step.name) == 0)
        return;
    const DmInfo info = require_info(run.dm, step.name, "restore its table");
    const Table now = run.dm.table(step.name);
    // What was written since stands where that table has it, and in an endpoint maybe nowhere else.
    const auto ours = run.loaded.find(step.name);
    if (step.final && step.visibility == Visibility::private_device && ours != run.loaded.end() && now == ours->second)
        return;
    // Clear, then resume: a resume swaps in what is loaded.
    if (info.inactive_table)
        run.dm.clear(step.name);
    const Table before = resolved(step.before, run);
    const bool other_table = now != before;
    if (other_table)
        run.dm.load(step.name, before);
    if (other_table || info.suspended)
        run.dm.resume(step.name, step.visibility);
    if (run.dm.table(step.name) != before)
        throw Error(step.name.text(), "restore its table", "the kernel keeps the other one", "dmsnap recover");
}

void undo(const SwapSuspended& step, Execution& run)
{
    const SuspendedSwap& swap = step.swap;
    if (run.swapping.count(swap.name) == 0)
        return;
    const DmInfo info = require_info(run.dm, swap.name, "restore its table");
    const Table now = run.dm.table(swap.name);
    const bool back_to_base = interpose_line(swap.before) != nullptr;
    if (info.inactive_table)
        run.dm.clear(swap.name);
    // What was written since the live device runs waits in its base, and to suspend the device would be to wait for that.
    const bool on_base = interpose_line(now) != nullptr;
    if (on_base && !info.suspended && !runs(run.dm.info(swap.base))) {
        load_anew(swap.base, run);
        run.dm.resume(swap.base, Visibility::private_device);
    }
    if (now != swap.before)
        run.dm.load(swap.name, swap.before);
    if (now != swap.before || info.suspended || runs(run.dm.info(swap.base)) != back_to_base)
        run.dm.swap_suspended({swap.name, swap.base, now, back_to_base, {}});
    if (run.dm.table(swap.name) != swap.before)
        throw Error(swap.name.text(), "restore its table", "the kernel keeps the other one", "dmsnap recover");
}

/// Its process has taken it back, unless that failed too.
void undo(const SwapQuiet& step, Execution& run)
{
    const auto wake = [&](const DmName& name) {
        const auto info = run.dm.info(name);
        if (!info || !info->suspended)
            return;
        if (info->inactive_table)
            run.dm.clear(name);
        run.dm.resume(name, Visibility::private_device);
    };
    if (run.swapping.count(step.swap.name) == 0)
        return;
    if (step.swap.below)
        wake(*step.swap.below);
    wake(step.swap.name);
}

void undo(const WakeUp&, Execution&) {}

void undo(const Remove& step, Execution& run)
{
    // What ran in a base runs in the live device by now.
    if (runs_once(step.device.table))
        return;
    if (!run.dm.info(step.device.name))
        run.dm.create(step.device);
}

void undo(const Hook& step, Execution& run)
{
    if (interpose_line(run.dm.table(step.name)) != nullptr)
        run.dm.message(step.name, UnhookMessage{step.message.deadline});
}

void undo(const Unhook&, Execution&) {}

void undo(const Redirect& step, Execution& run) { lead_back(step.name, step.live, step.endpoint, step.idle, run); }

void undo(const Direct&, Execution&) {}

/// Nothing of a device that somebody has given another table: it has no points and no store any more.
std::optional<InterposeStatus> status_of(const DmName& name, Dm& dm)
{
    if (interpose_line(dm.table(name)) == nullptr)
        return std::nullopt;
    InterposeStatus status = read_status(dm, name);
    return status.state != INTERPOSE_STATE_LOST ? std::optional(std::move(status)) : std::nullopt;
}

std::optional<Uuid> store_of(const InterposeStatus& status)
{
    return status.details ? status.details->store : std::nullopt;
}

void undo(const UseStore& step, Execution& run)
{
    const auto status = status_of(step.name, run.dm);
    if (!status || store_of(*status) == step.before)
        return;
    if (step.before && step.before_inside)
        run.dm.message(step.name, StoreMessage{*step.before, *step.before_inside});
    else
        run.dm.message(step.name, UnstoreMessage{});
}

void undo(const LeaveStore& step, Execution& run)
{
    if (!step.inside)
        return;
    if (const auto status = status_of(step.name, run.dm); status && store_of(*status) != step.store)
        run.dm.message(step.name, StoreMessage{step.store, *step.inside});
}

void undo(const SyncFilesystems&, Execution&) {}

/// Of points of different devices, the first of which takes the message.
void add_to(std::optional<Drop>& drop, const DmName& name, const Uuid& origin, const PointId& point)
{
    if (drop)
        drop->message.others.push_back({origin, point});
    else
        drop = Drop{name, {point}};
}

void undo(const Take& step, Execution& run)
{
    std::optional<Drop> drop;
    for (std::size_t i = 0; i < step.names.size(); ++i) {
        const SetMember& member = step.message.members[i];
        if (!status_of(step.names[i], run.dm))
            continue;
        // Found by the uuid we gave it: a take whose answer was lost has taken the points all the same.
        const Points points = read_points(run.dm, step.names[i]);
        for (const Point& point : points.points)
            if (point.uuid == member.point)
                add_to(drop, step.names[i], member.origin, {points.generation, point.id});
    }
    if (drop)
        run.dm.message(drop->name, drop->message);
}

std::string drop_by_hand(const Take& step, const std::vector<TakenPoint>& taken)
{
    std::optional<Drop> drop;
    for (std::size_t i = 0; i < step.names.size(); ++i)
        for (const TakenPoint& point : taken)
            if (point.origin == step.message.members[i].origin)
                add_to(drop, step.names[i], point.origin, point.answer.point);
    return drop ? by_hand(*drop) : "dmsnap remove " + shell_word(step.message.name.text());
}

void undo(const Drop&, Execution&) {}

void undo(const Release&, Execution&) {}

/// What changes points back: one step for those that were the same.
std::vector<ChangePoint> back(const ChangePoint& step, const std::function<bool(const DmName&)>& is_there)
{
    std::vector<ChangePoint> steps;
    for (std::size_t i = 0; i < step.names.size(); ++i) {
        const ChangeMessage& before = step.before[i];
        const auto same = std::find_if(steps.begin(), steps.end(), [&](const ChangePoint& other) {
            return other.message.name == before.name && other.message.tags == before.tags &&
                   other.message.data == before.data;
        });
        if (!is_there(step.names[i]))
            continue;
        if (same == steps.end()) {
            steps.push_back({{step.names[i]}, before, {}});
        } else {
            same->names.push_back(step.names[i]);
            same->message.others.push_back(step.message.others[i - 1]);
        }
    }
    return steps;
}

// Harmless where nothing was changed.
void undo(const ChangePoint& step, Execution& run)
{
    for (const ChangePoint& change :
        back(step, [&](const DmName& name) { return status_of(name, run.dm).has_value(); }))
        run.dm.message(change.names.front(), change.message);
}

void undo(const RenameImage& step, Execution& run)
{
    const auto info = run.dm.info(step.to);
    if (info && info->uuid == step.uuid)
        run.dm.rename(step.to, step.name, Visibility::image);
}

void undo(const MakeLink& step, Execution& run) { run.host.remove_link(step.path); }

void undo(const RemoveLink& step, Execution& run) { run.host.make_link(step.path, step.device); }

bool is_outside(const std::optional<std::vector<Run>>& inside) { return inside && inside->empty(); }

} // namespace

void undo_step(const Step& step, Execution& run)
{
    std::visit([&](const auto& s) { undo(s, run); }, step);
}

std::vector<std::string> undo_by_hand(const Step& step, const Execution& run)
{
    const auto commands = [](std::initializer_list<Step> steps) {
        std::vector<std::string> result;
        for (const Step& s : steps)
            result.push_back(by_hand(s));
        return result;
    };
    // clang-format off: versions 14 and 19 break these lambdas in different places
    return std::visit(
        Visit{
            [&](const Create& s) { return commands({Remove{s.device}}); },
            [&](const MakeStoreFile& s) {
                return commands({RemoveStoreFile{s.path, s.device}});
            },
            [&](const LayStoreFile& s) {
                return commands({Remove{{s.name, s.uuid, {}}}});
            },
            [&](const Prepare& s) { return commands({Remove{s.device}}); },
            [&](const Load& s) { return std::vector<std::string>{"dmsetup clear " + shell_word(s.name.text())}; },
            [&](const Clear& s) {
                return commands({Load{s.name, s.table}});
            },
            [&](const Resume& s) {
                return commands({Load{s.name, s.before}, s});
            },
            // Which of the two tables may run is for those who look at both.
            [&](const SwapSuspended&) { return std::vector<std::string>{"dmsnap recover"}; },
            [&](const SwapQuiet&) { return std::vector<std::string>{"dmsnap recover"}; },
            [&](const Remove& s) { return runs_once(s.device.table) ? commands({}) : commands({Create{s.device}}); },
            [&](const Hook& s) {
                return commands({Unhook{s.name, s.live, {s.message.deadline}}});
            },
            [&](const Redirect& s) {
                return commands({Direct{s.name, s.live, s.endpoint, s.idle}});
            },
            // Where a store lies inside its origin is more than anybody types.
            [&](const UseStore& s) {
                if (!s.before)
                    return commands({LeaveStore{s.name, s.store}});
                return is_outside(s.before_inside) ? commands({UseStore{s.name, *s.before, {}}})
                                                   : std::vector<std::string>{"dmsnap recover"};
            },
            [&](const LeaveStore& s) {
                return is_outside(s.inside) ? commands({UseStore{s.name, s.store, {}}})
                                            : std::vector<std::string>{"dmsnap recover"};
            },
            [&](const Take& s) { return std::vector<std::string>{drop_by_hand(s, run.taken)}; },
            [&](const ChangePoint& s) {
                std::vector<std::string> result;
                for (const ChangePoint& change : back(s, [](const DmName&) { return true; }))
                    result.push_back(by_hand(change));
                return result;
            },
            [&](const RenameImage& s) {
                return commands({RenameImage{s.to, s.name, s.uuid}});
            },
            [&](const MakeLink& s) {
                return commands({RemoveLink{s.path, s.device}});
            },
            [&](const RemoveLink& s) {
                return commands({MakeLink{s.path, s.device}});
            },
            [](const auto&) { return std::vector<std::string>{}; },
        },
        step);
    // clang-format on
}

std::optional<Swap> swap_of(const Step& step, Execution& run)
{
    if (const auto* resume = std::get_if<Resume>(&step))
        return Swap{resume->name, resolved(resume->before, run)};
    if (const auto* swap = std::get_if<SwapSuspended>(&step))
        return Swap{swap->swap.name, swap->swap.before};
    return std::nullopt;
}

Stranger find_stranger(const Swap& swap, Execution& run)
{
    const auto loaded = run.loaded.find(swap.name);
    const auto is_ours = [&](const Table& table) {
        return table.empty() || table == swap.before || (loaded != run.loaded.end() && table == loaded->second);
    };
    const auto info = run.dm.info(swap.name);
    if (!info)
        return Stranger::none; // the undo says so
    if (!is_ours(run.dm.table(swap.name)))
        return Stranger::swapped;
    return info->inactive_table && !is_ours(run.dm.inactive_table(swap.name)) ? Stranger::loaded : Stranger::none;
}

} // namespace dmsnap
