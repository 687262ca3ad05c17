// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
//   look at the target, ask -> take a snapshot -> copy its image, nobody's lock held -> remove the snapshot
//                                                                                       detach what was not attached
#include "base/text.h"
#include "copy_target.h"
#include "interrupt.h"
#include "log.h"
#include "ops/clone.h"
#include "ops/find.h"
#include "progress.h"
#include "taking.h"
#include "world/copy.h"
#include "world/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <optional>

namespace dmsnap::tool {
namespace {

constexpr Option options[] = {
    {"store", "STORE", "the block device that takes the old data meanwhile, as in dmsnap create"},
    {"chunksize,c", "SIZE", "as in dmsnap attach, if the device is to be attached"},
    {"deadline", "SECONDS", "how long freezing and waiting may take, 10 unless given"},
    {"via", "METHOD", "as in dmsnap attach, if the device is to be attached"},
};

/// A name that no point has had.
PointName clone_name() { return PointName("clone-" + Uuid::random().text().substr(0, 8)); }

/// The snapshot, with its image open: the sign that somebody still works on it.
class PassingSnapshot {
public:
    PassingSnapshot(const Arguments& arguments, TakeWords words) : arguments_(arguments), words_(std::move(words)) {}

    /// Throws Error; removed() is due then as well.
    void take(const Interrupt& interrupt)
    {
        const auto first = first_look(arguments_, words_);
        Change change(arguments_);
        if (interrupt.came())
            throw Error(words_.devices.front(), "copy it", "a signal has come", "again");
        attached_ = attaches_for_clone(survey(change.dm()), resolve(words_.devices.front()).number);
        words_.wish.tags.add(Tag(clone_tag));
        if (attached_)
            words_.wish.tags.add(Tag(clone_detach_tag));
        const auto taken = tool::take(change, words_, first);
        if (taken.empty())
            return; // a dry run
        point_ = taken.front().answer.point;
        open_image(survey(change.dm()));
    }

    bool taken() const { return point_.has_value(); }
    const File& image() const { return *image_; }
    Bytes size() const { return size_; }

    /// Why its image cannot be read any more; empty if nothing says so.
    std::string failure() const
    {
        try {
            const auto dm = start();
            const Machine machine = survey(*dm);
            for (const FoundPoint& found : find_points(machine, nullptr, point_->text()))
                if (!found.point->valid)
                    return found.origin->status.details
                               ? found.origin->status.details->failure.value_or(INTERPOSE_FAILURE_DETACHED)
                               : INTERPOSE_FAILURE_DETACHED;
        } catch (const Error&) {
            // Nothing is known then.
        }
        return {};
    }

    /// Removes it; false, having said why, if that cannot be done.
    bool removed()
    {
        try {
            remove();
            return true;
        } catch (const Error& error) {
            log_error(error);
            return false;
        }
    }

private:
    void remove()
    {
        image_.reset();
        if (!point_)
            return;
        Change change(arguments_); // which removes it, as what a dead command has left
        if (!is_gone(survey(change.dm())))
            change.hold(words_.devices.front());
        change.carry_out(change.plan([&](const Machine& machine) -> Plan {
            const auto found = find(machine);
            return found ? plan_end_clone(machine, *found->origin, *found->point, attached_) : Plan();
        }));
    }

    void open_image(const Machine& machine)
    {
        for (const FoundPoint& found : find_points(machine, nullptr, point_->text()))
            if (const ImageState* image = found.origin->image_of(*found.point)) {
                const BlockDevice block = read_block_device(image->info.number);
                size_ = block.size.bytes();
                image_.emplace(File::open(node_path(block), O_RDONLY | O_DIRECT));
                return;
            }
        throw Error(words_.wish.name.text(), "open its image", "it is gone already", "again");
    }

    /// Nothing once it is gone.
    std::optional<FoundPoint> find(const Machine& machine) const
    {
        try {
            return find_points(machine, nullptr, point_->text()).front();
        } catch (const Error&) {
            return std::nullopt;
        }
    }

    /// Whether there is no live device any more that a lock would have to be had for.
    bool is_gone(const Machine& machine) const
    {
        const auto found = find(machine);
        return !found || machine.is_gone(*found->origin);
    }

    const Arguments& arguments_;
    TakeWords words_;
    bool attached_ = false; ///< for this
    std::optional<PointId> point_;
    std::optional<File> image_;
    Bytes size_;
};

/// Says now and then how far it is, and ends with an Error when a signal has come.
class Watch {
public:
    Watch(const Interrupt& interrupt, std::string what, Bytes size)
        : interrupt_(interrupt), what_(std::move(what)), size_(size), progress_(what_)
    {
    }

    void operator()(Bytes done)
    {
        if (interrupt_.came())
            throw Error(what_, "go on", "a signal has come", "again, for a copy that is complete");
        progress_.say(done, size_);
    }

private:
    const Interrupt& interrupt_;
    std::string what_;
    Bytes size_;
    Progress progress_;
};

void copy(
    const PassingSnapshot& snapshot, const CopyTarget& target, const Interrupt& interrupt, const std::string& what)
{
    const auto incomplete = [&](const std::string& reason, const std::string& next_step) {
        return Error(printable(target.spec()), CopyTarget::operation, reason + "; it is not complete", next_step);
    };
    try {
        copy_device(snapshot.image(), target.file(), snapshot.size(), Watch(interrupt, what, snapshot.size()));
    } catch (const Error& error) {
        const std::string failure = snapshot.failure();
        if (!failure.empty())
            throw incomplete("the snapshot it is made from has become invalid: " + failure,
                failure == INTERPOSE_FAILURE_STORE_FULL ? "a larger store" : "again");
        throw incomplete(error.what(), error.next_step());
    }
}

int run_clone(const Arguments& arguments)
{
    arguments.require_objects(2, 2);
    TakeWords words = take_words(arguments, PointWish(PointKind::snapshot, clone_name()));
    words.devices = {arguments.objects()[0]};
    const BlockDevice origin = resolve(words.devices.front());
    {
        const Change mended(arguments); // what a dead command left may be in the way
    }
    CopyTarget target(arguments, arguments.objects()[1], origin);
    const Interrupt interrupt;
    if (words.store && resolve(*words.store).number == resolve(target.spec()).number)
        throw Error(printable(target.spec()), CopyTarget::operation, "it is the store as well", "another device")
            .as(Fault::usage);
    if (!is_dry_run(arguments))
        target.claim();
    PassingSnapshot snapshot(arguments, words);
    try {
        snapshot.take(interrupt);
        if (!snapshot.taken()) {
            print(fmt::format("# copy the image of {} to {}, then remove it\n", words.wish.name.text(), target.spec()));
            return exit_done;
        }
        copy(snapshot, target, interrupt, fmt::format("{} to {}", printable(origin.name()), printable(target.spec())));
    } catch (const std::exception& error) {
        const Error* known = dynamic_cast<const Error*>(&error);
        if (!snapshot.removed() && known != nullptr)
            throw Error(*known).as(Fault::not_undone);
        throw;
    }
    log_warning(fmt::format("{}: copied; it has the same UUIDs as {}, and must not be mounted beside it",
        printable(target.spec()), printable(origin.name())));
    return snapshot.removed() ? exit_done : exit_not_undone;
}

} // namespace

const Command clone_command = {
    .name = "clone",
    .synopsis = "[--store STORE] [-c|--chunksize SIZE] [--via auto|table|hook] [--deadline SECONDS] [OPTIONS] "
                "DEVICE TARGET",
    .summary = "copy a live device to another one, as it is at one instant",
    .options = options,
    .group = Group::mutates,
    .hidden = false,
    .run = run_clone,
};

} // namespace dmsnap::tool
