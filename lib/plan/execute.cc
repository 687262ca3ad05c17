// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "plan/execute.h"

#include "base/text.h"
#include "base/visit.h"
#include "plan/query.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <map>
#include <new>
#include <set>
#include <utility>

namespace dmsnap {
namespace {

/// What the steps so far found out, for the later ones.
struct Execution {
    Dm& dm;
    Host& host;
    std::optional<TakeAnswer> taken = {};
    std::map<DmName, Table> loaded = {}; ///< ours in the inactive slot, as the kernel prints it
    std::set<DmName> swapping = {};      ///< devices that a resume or a swap of ours was asked for
};

DmInfo require_info(Dm& dm, const DmName& name, const char* operation)
{
    auto info = dm.info(name);
    if (!info)
        throw Error(name.text(), operation, ENXIO);
    return *info;
}

void require_uuid(Dm& dm, const DmName& name, const std::string& uuid, const char* operation)
{
    if (require_info(dm, name, operation).uuid != uuid)
        throw Error(name.text(), operation, "another device has that name by now");
}

// What only the plan knows becomes what the kernel knows.

DeviceRef resolved(const DeviceRef& device, Execution& run)
{
    const auto* name = std::get_if<DmName>(&device);
    return name != nullptr ? DeviceRef(require_info(run.dm, *name, "find its number").number) : device;
}

Table resolved(Table table, Execution& run)
{
    for (TableLine& line : table)
        std::visit(Visit{[&](Linear& t) { t.device = resolved(t.device, run); },
                       [&](Striped& t) {
                           for (auto& stripe : t.stripes)
                               stripe.device = resolved(stripe.device, run);
                       },
                       [&](Interpose& t) { t.base = resolved(t.base, run); },
                       [&](InterposeStore& t) { t.device = resolved(t.device, run); },
                       [&](InterposeImage& t) {
                           if (!t.point && run.taken)
                               t.point = run.taken->point;
                       },
                       [](OtherTarget&) {}},
            line.target);
    return table;
}

// Doing.  Each step believes the kernel's answer to a second question, not the first call's success.

void perform(const FormatStore& step, Execution& run) { run.host.format_store(step.store); }

void perform(const Create& step, Execution& run)
{
    NewDevice device = step.device;
    device.table = resolved(device.table, run);
    run.dm.create(device);
    const DmInfo info = require_info(run.dm, device.name, "create it");
    if (!info.live_table || info.suspended)
        throw Error(device.name.text(), "create it", "it has no live table");
}

void perform(const Prepare& step, Execution& run)
{
    NewDevice device = step.device;
    device.table = resolved(device.table, run);
    run.dm.prepare(device);
    if (!require_info(run.dm, device.name, "create it").inactive_table)
        throw Error(device.name.text(), "create it", "it has no table to start");
}

Error another_is_loaded(const DmName& name, const char* operation)
{
    return Error(name.text(), operation, "somebody else has loaded another table for it meanwhile",
        fmt::format("dmsetup clear {}, once you know whose it is", shell_word(name.text())));
}

void perform(const Load& step, Execution& run)
{
    const Table table = resolved(step.table, run);
    if (require_info(run.dm, step.name, "load its table").inactive_table && run.dm.inactive_table(step.name) != table)
        throw another_is_loaded(step.name, "load its table");
    run.dm.load(step.name, table);
    const Table loaded = run.dm.inactive_table(step.name);
    if (loaded.empty())
        throw Error(step.name.text(), "load its table", "the table is gone again");
    run.loaded[step.name] = loaded;
}

void perform(const Clear& step, Execution& run)
{
    if (require_info(run.dm, step.name, "clear its table").inactive_table &&
        run.dm.inactive_table(step.name) != step.table)
        throw another_is_loaded(step.name, "clear its table");
    run.dm.clear(step.name);
    if (require_info(run.dm, step.name, "clear its table").inactive_table)
        throw Error(step.name.text(), "clear its table", "another one has come meanwhile");
}

/// It runs, has nothing else loaded, and what it runs is ours.
bool runs_ours(const DmName& name, const Table& ours, Dm& dm)
{
    const auto info = dm.info(name);
    return info && info->live_table && !info->suspended && !info->inactive_table && dm.table(name) == ours;
}

/// What the kernel runs counts, not what a resume says.
void require_swapped(const DmName& name, const Table& before, Dm& dm)
{
    const DmInfo info = require_info(dm, name, "swap its table");
    if (info.suspended || info.inactive_table || !info.live_table || dm.table(name) == before)
        throw Error(name.text(), "swap its table", "the kernel dropped the new table");
}

Error another_runs(const DmName& name)
{
    return Error(name.text(), "swap its table", "somebody else has given it another table meanwhile", "again");
}

/// A resume swaps in what is loaded, whoever did it, and in the place of whatever runs by then.
void require_ours_loaded(const DmName& name, const Table& before, const Table& ours, bool suspended, Dm& dm)
{
    if (require_info(dm, name, "swap its table").suspended != suspended)
        throw Error(name.text(), "swap its table",
            suspended ? "somebody has resumed it meanwhile" : "somebody has suspended it meanwhile", "again");
    if (dm.table(name) != before)
        throw another_runs(name);
    const Table now = dm.inactive_table(name);
    if (now.empty())
        throw Error(name.text(), "swap its table", "somebody has cleared the new table meanwhile");
    if (now != ours)
        throw another_is_loaded(name, "swap its table");
}

void perform(const Resume& step, Execution& run)
{
    const Table& ours = run.loaded[step.name];
    if (runs_ours(step.name, ours, run.dm)) { // by somebody's resume
        run.swapping.insert(step.name);
        return;
    }
    require_ours_loaded(step.name, step.before, ours, false, run.dm);
    run.swapping.insert(step.name);
    try {
        run.dm.resume(step.name, Visibility::public_device);
    } catch (const Error&) {
        // Interrupted after the swap?
        if (runs_ours(step.name, ours, run.dm))
            return;
        throw;
    }
    require_swapped(step.name, step.before, run.dm);
    if (!runs_ours(step.name, ours, run.dm))
        throw another_runs(step.name);
}

/// A raid reads the state of its legs when its table is loaded.  One that never ran may have been loaded long ago, before
/// the raid that ran then lost a leg: it reads them again.
void load_anew(const DmName& base, Execution& run)
{
    const DmInfo info = require_info(run.dm, base, "load its table");
    if (!info.live_table && info.inactive_table)
        run.dm.load(base, run.dm.inactive_table(base));
}

void perform(const SwapSuspended& step, Execution& run)
{
    const SuspendedSwap& swap = step.swap;
    if (!step.found.empty())
        run.loaded[swap.name] = step.found;
    const Table& ours = run.loaded[swap.name];
    // By somebody's resume: it waits for its base.
    if (swap.to_base && runs_ours(swap.name, ours, run.dm)) {
        run.swapping.insert(swap.name);
        load_anew(swap.base, run);
        run.dm.resume(swap.base, Visibility::private_device);
        return;
    }
    require_ours_loaded(swap.name, swap.before, ours, !step.found.empty(), run.dm);
    run.swapping.insert(swap.name);
    run.dm.swap_suspended(swap);
    require_swapped(swap.name, swap.before, run.dm);
}

void perform(const WakeUp& step, Execution& run)
{
    if (require_info(run.dm, step.name, "resume it").inactive_table && run.dm.inactive_table(step.name) != step.loaded)
        throw another_is_loaded(step.name, "resume it");
    load_anew(step.both ? step.both->base : step.name, run);
    if (step.both)
        run.dm.swap_suspended(*step.both);
    else
        run.dm.resume(step.name, step.visibility);
}

void perform(const Remove& step, Execution& run)
{
    require_uuid(run.dm, step.device.name, step.device.uuid, "remove it");
    run.dm.remove(step.device.name);
}

/// What an errno value means as an answer to "store".
Error explained(const Error& error)
{
    const auto because = [&](std::string reason, std::string next_step = {}) {
        return Error(error.subject(), "use the store", std::move(reason), std::move(next_step));
    };
    switch (error.number()) {
    case EBUSY: return because("its snapshots, or images of invalid ones, need the one it has", "leave --store out");
    case EINVAL:
        return because("the store lies on the device, or its blocks or its unit of allocation are larger than the "
                       "device's blocks and chunks",
            "another store, or a larger chunk size");
    case ENODEV: return because("the store is gone");
    case EIO: return because("the store has failed", "another store");
    default: return error;
    }
}

void perform(const UseStore& step, Execution& run)
{
    try {
        run.dm.message(step.name, StoreMessage{step.store});
    } catch (const Error& error) {
        throw explained(error);
    }
}

void perform(const LeaveStore& step, Execution& run) { run.dm.message(step.name, UnstoreMessage{}); }

void perform(const SyncFilesystems& step, Execution& run) { run.host.sync_filesystems(step.mount_points); }

/// What an errno value means as an answer to "take".
Error explained(const Error& error, const TakeMessage& take)
{
    const std::string operation = fmt::format("take {} \"{}\"", to_text(take.kind), take.name.text());
    const auto because = [&](std::string reason, std::string next_step = {}) {
        return Error(error.subject(), operation, std::move(reason), std::move(next_step));
    };
    switch (error.number()) {
    case EEXIST: return because("another point has that name", "another name");
    case ETIMEDOUT:
        return because(
            fmt::format("freezing and waiting for writes under way took longer than {} ms", take.deadline.count()),
            "--deadline SECONDS, or again when there is less to write");
    case ENODEV: return because("it has no store");
    case EIO: return because("its store has failed", "another store");
    case EBUSY: return because("another point is being taken, or it is suspended", "again");
    case ECANCELED:
        return because(
            "a device whose filesystem was to be frozen cannot be opened or frozen", "dmesg, which names it");
    case ENOSPC:
        return because(
            fmt::format("it has {} points, and no more are possible", INTERPOSE_POINTS_MAX), "dmsnap remove some");
    default: return error;
    }
}

void perform(const Take& step, Execution& run)
{
    try {
        run.taken = parse_take_answer(run.dm.message(step.name, step.message));
    } catch (const Error& error) {
        throw explained(error, step.message);
    }
}

void perform(const Drop& step, Execution& run) { run.dm.message(step.name, DropMessage{step.point}); }

void perform(const Release& step, Execution& run) { run.dm.message(step.name, ReleaseMessage{step.point}); }

void perform(const ChangePoint& step, Execution& run)
{
    try {
        run.dm.message(step.name, step.message);
    } catch (const Error& error) {
        if (error.number() != EEXIST)
            throw;
        throw Error(error.subject(), "change the point", "another point has that name", "another name");
    }
}

void perform(const RenameImage& step, Execution& run)
{
    require_uuid(run.dm, step.name, step.uuid, "rename it");
    run.dm.rename(step.name, step.to, Visibility::image);
}

void perform(const MakeLink& step, Execution& run) { run.host.make_link(step.path, step.device); }

void perform(const RemoveLink& step, Execution& run) { run.host.remove_link(step.path); }

// Undoing.  Called for finished steps and for the one that failed, which may have done half: each looks at what is
// there and is content if there is nothing to undo.

void undo(const FormatStore&, Execution&) {}

void remove_created(const NewDevice& device, Dm& dm)
{
    // Another's device of that name is why a create failed, not what it left behind.
    const auto info = dm.info(device.name);
    if (info && info->uuid == device.uuid)
        dm.remove(device.name);
}

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

/// Somebody else's table, where an undo would restore the one that was there before: it is left alone.
enum class Stranger {
    none,
    swapped, ///< his runs: nothing of ours is left to take out
    loaded,  ///< his waits beside ours, which must stay
};

Stranger find_stranger(const DmName& name, const Table& before, Execution& run)
{
    const auto loaded = run.loaded.find(name);
    const auto is_ours = [&](const Table& table) {
        return table.empty() || table == before || (loaded != run.loaded.end() && table == loaded->second);
    };
    const auto info = run.dm.info(name);
    if (!info)
        return Stranger::none; // the undo says so
    if (!is_ours(run.dm.table(name)))
        return Stranger::swapped;
    return info->inactive_table && !is_ours(run.dm.inactive_table(name)) ? Stranger::loaded : Stranger::none;
}

void undo(const Resume& step, Execution& run)
{
    if (run.swapping.count(step.name) == 0)
        return;
    const DmInfo info = require_info(run.dm, step.name, "restore its table");
    const Table now = run.dm.table(step.name);
    // Clear, then resume: a resume swaps in what is loaded.
    if (info.inactive_table)
        run.dm.clear(step.name);
    const bool other_table = now != step.before;
    if (other_table)
        run.dm.load(step.name, step.before);
    if (other_table || info.suspended)
        run.dm.resume(step.name, Visibility::public_device);
    if (run.dm.table(step.name) != step.before)
        throw Error(step.name.text(), "restore its table", "the kernel keeps the other one");
}

bool runs(const std::optional<DmInfo>& info) { return info && info->live_table && !info->suspended; }

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
        throw Error(swap.name.text(), "restore its table", "the kernel keeps the other one");
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
    if (step.before)
        run.dm.message(step.name, StoreMessage{*step.before});
    else
        run.dm.message(step.name, UnstoreMessage{});
}

void undo(const LeaveStore& step, Execution& run)
{
    if (const auto status = status_of(step.name, run.dm); status && store_of(*status) != step.store)
        run.dm.message(step.name, StoreMessage{step.store});
}

void undo(const SyncFilesystems&, Execution&) {}

void undo(const Take& step, Execution& run)
{
    if (!status_of(step.name, run.dm))
        return;
    // Found by the uuid we gave it: a take whose answer was lost has taken the point all the same.
    const Points points = read_points(run.dm, step.name);
    for (const Point& point : points.points)
        if (point.uuid == step.message.point)
            run.dm.message(step.name, DropMessage{{points.generation, point.id}});
}

void undo(const Drop&, Execution&) {}

void undo(const Release&, Execution&) {}

// Harmless where nothing was changed.
void undo(const ChangePoint& step, Execution& run)
{
    if (status_of(step.name, run.dm))
        run.dm.message(step.name, step.before);
}

void undo(const RenameImage& step, Execution& run)
{
    const auto info = run.dm.info(step.to);
    if (info && info->uuid == step.uuid)
        run.dm.rename(step.to, step.name, Visibility::image);
}

void undo(const MakeLink& step, Execution& run) { run.host.remove_link(step.path); }

void undo(const RemoveLink& step, Execution& run) { run.host.make_link(step.path, step.device); }

bool no_way_back(const Step& step)
{
    const auto* resume = std::get_if<Resume>(&step);
    const auto* swap = std::get_if<SwapSuspended>(&step);
    return std::holds_alternative<Drop>(step) || std::holds_alternative<Release>(step) ||
           (resume != nullptr && resume->final) || (swap != nullptr && swap->final);
}

/// The steps that do by hand what undo() does.
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
            [&](const Remove& s) { return runs_once(s.device.table) ? commands({}) : commands({Create{s.device}}); },
            [&](const UseStore& s) {
                return s.before ? commands({UseStore{s.name, *s.before, {}}}) : commands({LeaveStore{s.name, s.store}});
            },
            [&](const LeaveStore& s) {
                return commands({UseStore{s.name, s.store, {}}});
            },
            [&](const Take& s) {
                return run.taken ? commands({Drop{s.name, run.taken->point}})
                                 : std::vector<std::string>{"dmsnap remove " + shell_word(s.message.name.text())};
            },
            [&](const ChangePoint& s) {
                return commands({ChangePoint{s.name, s.before, s.message}});
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

void report(const Progress& progress, const std::string& line)
{
    if (progress)
        progress(line);
}

/// What a step swaps: the device, and the table it had.
struct Swap {
    const DmName& name;
    const Table& before;
};

std::optional<Swap> swap_of(const Step& step)
{
    if (const auto* resume = std::get_if<Resume>(&step))
        return Swap{resume->name, resume->before};
    if (const auto* swap = std::get_if<SwapSuspended>(&step))
        return Swap{swap->swap.name, swap->swap.before};
    return std::nullopt;
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
        try {
            const auto swap = swap_of(step);
            const Stranger stranger = swap ? find_stranger(swap->name, swap->before, run_) : Stranger::none;
            if (stranger != Stranger::none) {
                leave(*swap, stranger);
                return;
            }
            if (ends_with_attach(step))
                return;
            report(progress_, "undo " + to_text(step));
            std::visit([&](const auto& s) { undo(s, run_); }, step);
        } catch (const Error& error) {
            report(progress_, fmt::format("not undone: {}\n", error.what()));
            append_by_hand(step);
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

    /// Whether the undo of an earlier step, the swap that attached the device, ends what this step did.  To undo it
    /// singly would be to leave a device attached for nothing, should we die in between.
    bool ends_with_attach(const Step& step)
    {
        const auto* take = std::get_if<Take>(&step);
        const auto* use = std::get_if<UseStore>(&step);
        if (take == nullptr && use == nullptr)
            return false;
        const DmName& name = take != nullptr ? take->name : use->name;
        return std::any_of(first_, last_, [&](const Step& earlier) {
            const auto swap = swap_of(earlier);
            return swap && swap->name == name && interpose_line(swap->before) == nullptr &&
                   find_stranger(name, swap->before, run_) == Stranger::none;
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
        std::visit([&](const auto& s) { perform(s, run); }, step);
        return std::nullopt;
    } catch (const Error& error) {
        return error;
    } catch (const std::bad_alloc&) {
        return Error(to_text(step), "do it", ENOMEM);
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
            return {error, run.taken, std::move(left)};
        }
        if (no_way_back(*step))
            way_back = std::next(step);
    }
    return {std::nullopt, run.taken, {}};
}

} // namespace dmsnap
