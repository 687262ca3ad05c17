// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/error.h"
#include "base/text.h"
#include "base/visit.h"
#include "plan/execution.h"
#include "plan/query.h"
#include "table/file_table.h"

#include <cerrno>
#include <fmt/format.h>
#include <type_traits>

namespace dmsnap {
namespace {

void require_uuid(Dm& dm, const DmName& name, const std::string& uuid, const char* operation)
{
    if (require_info(dm, name, operation).uuid != uuid)
        throw Error(name.text(), operation, "another device has that name by now", "again");
}

DeviceRef resolved(const DeviceRef& device, Execution& run)
{
    const auto* name = std::get_if<DmName>(&device);
    return name != nullptr ? DeviceRef(require_info(run.dm, *name, "find its number").number) : device;
}

/// "@NAME", in the words of any target.
std::string resolved_words(const std::string& arguments, Execution& run)
{
    if (arguments.find('@') == std::string::npos)
        return arguments;
    std::string text;
    for (std::string_view word : words(arguments)) {
        const auto device = word.starts_with('@') ? parse_device_ref(word) : std::nullopt;
        text +=
            fmt::format("{}{}", text.empty() ? "" : " ", device ? to_text(resolved(*device, run)) : std::string(word));
    }
    return text;
}

// Each step believes the kernel's answer to a second question, not the first call's success.

void perform(const FormatStore& step, Execution& run)
{
    StoreFormat store = step.store;
    store.device = resolved(store.device, run);
    run.host.format_store(store);
}

void perform(const MakeStoreFile& step, Execution& run)
{
    run.host.make_store_file(step.path, step.length, step.device, step.deadline);
}

void perform(const RemoveStoreFile& step, Execution& run)
{
    try {
        run.host.remove_store_file(step.path, step.device);
    } catch (const Error& error) {
        if (!step.may_fail)
            throw;
        run.remarks.push_back(fmt::format("{}; it stays, and dmsnap recover removes it", error.what()));
    }
}

void perform(const LayStoreFile& step, Execution& run)
{
    if (!step.before.empty() && run.dm.table(step.live) != step.before)
        throw Error(
            step.live.text(), "lay a store in it", "somebody else has given it another table meanwhile", "again");
    const auto chunks = whole_chunks(run.host.store_file_extents(step.path), step.chunk, step.origin_length);
    if (length(chunks) < step.length)
        throw Error(step.path, "make a store of it",
            fmt::format("its filesystem is so fragmented that of {} only {} are whole chunks of {}",
                exact_size(step.length), exact_size(length(chunks)), exact_size(step.chunk)),
            "--store and a block device, or another --size");
    run.inside[step.store] = first_of(chunks, step.length);
    run.dm.create({step.name, step.uuid, table_of(run.inside[step.store], resolved(step.base, run), step.base_start),
        Visibility::private_device, false});
    if (!runs(run.dm.info(step.name)))
        throw Error(step.name.text(), "create it", "it has no live table", "again");
}

void perform(const BlankEnds& step, Execution& run)
{
    try {
        run.host.blank_ends(step.blank);
    } catch (const Error& error) {
        if (!step.may_fail)
            throw;
        run.remarks.push_back(
            fmt::format("{}: it may look like a copy, and is none: {}; wipefs --all {} once it can be "
                        "written",
                step.blank.path, error.what(), shell_word(step.blank.path)));
    }
}

void perform(const EraseSignatures& step, Execution& run) { run.host.erase_signatures(step.path); }

void perform(const Create& step, Execution& run)
{
    NewDevice device = step.device;
    device.table = resolved(device.table, run);
    run.dm.create(device);
    const DmInfo info = require_info(run.dm, device.name, "create it");
    if (!info.live_table || info.suspended)
        throw Error(device.name.text(), "create it", "it has no live table", "again");
}

void perform(const Prepare& step, Execution& run)
{
    NewDevice device = step.device;
    device.table = resolved(device.table, run);
    run.dm.prepare(device);
    if (!require_info(run.dm, device.name, "create it").inactive_table)
        throw Error(device.name.text(), "create it", "it has no table to start", "again");
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
        throw Error(
            step.name.text(), "load its table", "the table is gone again", "again, when nobody else is at work on it");
    run.loaded[step.name] = loaded;
}

void perform(const Clear& step, Execution& run)
{
    if (require_info(run.dm, step.name, "clear its table").inactive_table &&
        run.dm.inactive_table(step.name) != step.table)
        throw another_is_loaded(step.name, "clear its table");
    run.dm.clear(step.name);
    if (require_info(run.dm, step.name, "clear its table").inactive_table)
        throw Error(step.name.text(), "clear its table", "another one has come meanwhile",
            "again, when nobody else is at work on it");
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
        throw Error(name.text(), "swap its table", "the kernel dropped the new table",
            "again, when nobody else is at work on it");
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
        throw Error(name.text(), "swap its table", "somebody has cleared the new table meanwhile",
            "again, when nobody else is at work on it");
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
    const Table before = resolved(step.before, run);
    require_ours_loaded(step.name, before, ours, false, run.dm);
    run.swapping.insert(step.name);
    try {
        run.dm.resume(step.name, step.visibility);
    } catch (const Error&) {
        // Interrupted after the swap?
        if (runs_ours(step.name, ours, run.dm))
            return;
        throw;
    }
    require_swapped(step.name, before, run.dm);
    if (!runs_ours(step.name, ours, run.dm))
        throw another_runs(step.name);
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

/// All that was loaded for it runs.
bool is_swapped(const QuietSwap& swap, Execution& run)
{
    const auto runs_well = [&](const DmName& name) {
        const auto ours = run.loaded.find(name);
        return ours != run.loaded.end() ? runs_ours(name, ours->second, run.dm) : runs(run.dm.info(name));
    };
    return runs_well(swap.name) && (!swap.below || runs_well(*swap.below));
}

void perform(const SwapQuiet& step, Execution& run)
{
    const QuietSwap& swap = step.swap;
    const auto ours = run.loaded.find(swap.name);
    if (ours != run.loaded.end())
        require_ours_loaded(swap.name, step.before, ours->second, false, run.dm);
    else if (run.dm.table(swap.name) != step.before)
        throw another_runs(swap.name);
    run.swapping.insert(swap.name);
    try {
        run.dm.swap_quiet(swap);
    } catch (const Error&) {
        // Interrupted after the swap?
        if (!is_swapped(swap, run))
            throw;
    }
    if (!is_swapped(swap, run))
        throw another_runs(swap.name);
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

std::chrono::milliseconds deadline_of(const Hook& step) { return step.message.deadline; }
std::chrono::milliseconds deadline_of(const Redirect& step) { return step.deadline; }

std::string write_limit_of(const Hook& step) { return step.write_limit; }
std::string write_limit_of(const Redirect&) { return {}; }

/// ", the control group /batch limiting writes to sda1"
std::string limiting(const std::string& group, const std::string& device)
{
    return group.empty() ? "" : fmt::format(", the control group {} limiting writes to {}", printable(group), device);
}

std::string too_slow(std::chrono::milliseconds deadline)
{
    return fmt::format("freezing and waiting for writes under way took longer than {} ms", deadline.count());
}

/// What an errno value means as an answer to "hook" or "redirect".
template <typename HookStep> Error explained_hook(const Error& error, const HookStep& step, Host& host)
{
    const auto because = [&](std::string reason, std::string next_step) {
        return Error(step.live, "attach", std::move(reason), std::move(next_step));
    };
    switch (error.number()) {
    case EOPNOTSUPP: {
        const Obstacle obstacle = host.tracing_obstacle();
        return because("the kernel's function tracing cannot be had: " + obstacle.reason,
            obstacle.next_step + (std::is_same_v<HookStep, Hook> ? ", or --via table if the device has one" : ""));
    }
    case EBUSY: return because("a part of it is attached already", "dmsnap status, which shows what is");
    case ENODEV: return because("it is gone", "lsblk, which shows what is there");
    case ESTALE:
        return because(
            "meanwhile somebody suspended dmsnap's private devices for it, or a write went over its border", "again");
    case ETIMEDOUT:
        return because(too_slow(deadline_of(step)) + limiting(write_limit_of(step), step.live),
            "--deadline SECONDS, or again when there is less to write");
    case ECANCELED:
        return because(
            "a device whose filesystem was to be frozen cannot be opened or frozen", "dmesg, which names it");
    default: return because(error.reason(), error.next_step());
    }
}

void perform(const Hook& step, Execution& run)
{
    try {
        run.dm.message(step.name, step.message);
    } catch (const Error& error) {
        throw explained_hook(error, step, run.host);
    }
}

void perform(const Redirect& step, Execution& run)
{
    try {
        run.dm.message(step.name, RedirectMessage{resolved(step.endpoint, run), step.deadline, step.freeze});
    } catch (const Error& error) {
        throw explained_hook(error, step, run.host);
    }
}

void perform(const Direct& step, Execution& run) { lead_back(step.name, step.live, step.endpoint, step.idle, run); }

void perform(const Unhook& step, Execution& run)
{
    try {
        run.dm.message(step.name, step.message);
    } catch (const Error& error) {
        if (error.number() != ETIMEDOUT)
            throw;
        throw Error(step.live, "detach",
            fmt::format("writes under way do not end within {} ms", step.message.deadline.count()),
            "again when there is less to write");
    }
}

/// What an errno value means as an answer to "store".
Error explained(const Error& error)
{
    const auto because = [&](std::string reason, std::string next_step) {
        return Error(error.subject(), "use the store", std::move(reason), std::move(next_step));
    };
    switch (error.number()) {
    case EBUSY: return because("its snapshots, or images of invalid ones, need the one it has", "leave --store out");
    case EINVAL:
        return because("the store lies on the device, or its blocks or its unit of allocation are larger than the "
                       "device's blocks and chunks",
            "another store, or a larger chunk size");
    case ENODEV: return because("the store is gone", "another store");
    case EIO: return because("the store has failed", "another store");
    default: return error;
    }
}

void perform(const UseStore& step, Execution& run)
{
    try {
        const auto inside = run.inside.find(step.store);
        run.dm.message(
            step.name, StoreMessage{step.store, inside != run.inside.end() ? inside->second : std::vector<Run>()});
    } catch (const Error& error) {
        throw explained(error);
    }
}

void perform(const LeaveStore& step, Execution& run) { run.dm.message(step.name, UnstoreMessage{}); }

void perform(const SyncFilesystems& step, Execution& run) { run.host.sync_filesystems(step.mount_points); }

std::string names_of(const Take& step)
{
    std::string text;
    for (const std::string& device : step.devices)
        text += (text.empty() ? "" : ", ") + device;
    return text;
}

std::string text_of(const std::vector<DmName>& names)
{
    std::string text;
    for (const DmName& name : names)
        text += (text.empty() ? "" : ", ") + name.text();
    return text;
}

std::string operation_of(const TakeMessage& take)
{
    return fmt::format("take {} \"{}\"", to_text(take.kind), take.name.text());
}

/// What an errno value means as an answer to "take"; which device of a set it is about, only the kernel's log tells.
Error explained(const Error& error, const Take& step)
{
    const TakeMessage& take = step.message;
    const auto because = [&](std::string reason, std::string next_step) {
        if (step.names.size() > 1 && error.number() != ECANCELED && error.number() != ENXIO)
            next_step += "; dmesg, which names the device";
        return Error(names_of(step), operation_of(take), std::move(reason), std::move(next_step));
    };
    switch (error.number()) {
    case EEXIST: return because("another point has that name", "another name");
    case ENXIO: return because("a device is attached no more", "dmsnap status, which shows what is");
    case ETIMEDOUT: {
        std::string reason = too_slow(take.deadline);
        for (std::size_t i = 0; i < step.write_limits.size(); ++i)
            reason += limiting(step.write_limits[i], step.devices[i]);
        return because(std::move(reason), "--deadline SECONDS, or again when there is less to write");
    }
    case ENODEV: return because("it has no store", "--store STORE");
    case ENOLINK: return because("the hook does not see its live device", "dmsnap recover");
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
    std::vector<TakeAnswer> answers;
    try {
        answers = parse_take_answer(run.dm.message(step.names.front(), step.message));
    } catch (const Error& error) {
        throw explained(error, step);
    }
    const auto& members = step.message.members;
    if (answers.size() != members.size())
        throw Error(names_of(step), operation_of(step.message),
            fmt::format("the module has answered for {} devices of {}", answers.size(), members.size()),
            "upgrade dmsnap and its module to the same version");
    for (std::size_t i = 0; i < members.size(); ++i)
        run.taken.push_back({members[i].origin, answers[i]});
}

void perform(const Drop& step, Execution& run) { run.dm.message(step.name, step.message); }

void perform(const Release& step, Execution& run) { run.dm.message(step.name, step.message); }

void perform(const ChangePoint& step, Execution& run)
{
    try {
        run.dm.message(step.names.front(), step.message);
    } catch (const Error& error) {
        if (error.number() != EEXIST)
            throw;
        throw Error(text_of(step.names), "change the point", "another point has that name", "another name");
    }
}

void perform(const RenameImage& step, Execution& run)
{
    require_uuid(run.dm, step.name, step.uuid, "rename it");
    run.dm.rename(step.name, step.to, Visibility::image);
}

void perform(const MakeLink& step, Execution& run) { run.host.make_link(step.path, step.device); }

void perform(const RemoveLink& step, Execution& run) { run.host.remove_link(step.path); }

} // namespace

void do_step(const Step& step, Execution& run)
{
    std::visit([&](const auto& s) { perform(s, run); }, step);
}

DmInfo require_info(Dm& dm, const DmName& name, const char* operation)
{
    auto info = dm.info(name);
    if (!info)
        throw Error(name.text(), operation, ENXIO, "dmsnap check");
    return *info;
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
                       [&](InterposeBase& t) { t.live = resolved(t.live, run); },
                       [&](InterposeStore& t) { t.device = resolved(t.device, run); },
                       [&](InterposeImage& t) {
                           for (const TakenPoint& taken : run.taken)
                               if (!t.point && taken.origin == t.origin)
                                   t.point = taken.answer.point;
                       },
                       [&](OtherTarget& t) { t.arguments = resolved_words(t.arguments, run); }},
            line.target);
    return table;
}

bool runs(const std::optional<DmInfo>& info) { return info && info->live_table && !info->suspended; }

void lead_back(const DmName& base, const std::string& live, const DmName& endpoint, const Table& idle, Execution& run)
{
    if (run.dm.table(endpoint) != resolved(idle, run) || !runs(run.dm.info(endpoint)))
        throw Error(live, "lead it back to itself",
            fmt::format("{}, which is in its place, was given another table meanwhile", endpoint.text()),
            "dmsnap status");
    run.dm.message(base, DirectMessage{});
}

void load_anew(const DmName& base, Execution& run)
{
    const DmInfo info = require_info(run.dm, base, "load its table");
    if (!info.live_table && info.inactive_table)
        run.dm.load(base, run.dm.inactive_table(base));
}

} // namespace dmsnap
