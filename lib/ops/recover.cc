// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/recover.h"

#include "base/text.h"
#include "dm-interpose.h"
#include "ops/attach.h"
#include "ops/clone.h"
#include "ops/endpoint.h"
#include "ops/mirror.h"
#include "ops/naming.h"
#include "ops/parts.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>

namespace dmsnap {
namespace {

bool is_ours(const DmInfo& info) { return info.uuid.starts_with(uuid_prefix); }

/// Whether devices are suspended by hand to swap a table with that of the base.
bool swapped_suspended(const DeviceState& base) { return runs_once(base.table.empty() ? base.inactive : base.table); }

/// What its legs were when its table was loaded, or are by now that it runs.
const std::string& base_health(const DeviceState& base)
{
    return base.table.empty() ? base.loaded_health : base.health;
}

/// Attached for the sake of a first point that was never taken.
bool without_purpose(const OriginState& origin)
{
    return origin.line.provisional && origin.status.details && origin.status.details->last_id == 0;
}

/// It is attached, and nothing is under way.
bool runs_well(const OriginState& origin)
{
    return origin.status.details && origin.status.state == INTERPOSE_STATE_ACTIVE && !origin.info.suspended &&
           (!origin.live || origin.hooked());
}

class Finder {
public:
    explicit Finder(const Machine& machine) : machine_(machine) {}

    Recovery run()
    {
        for (const DeviceState& device : machine_.devices)
            if (!is_ours(device.info) && interpose_line(device.table) == nullptr)
                if (const Interpose* line = interpose_line(device.inactive))
                    unfinished_attach(device, *line);
        for (const OriginState& origin : machine_.origins)
            if (origin.status.details) {
                look_at(origin);
                if (runs_well(origin))
                    end_dead_clone(origin);
            }
        for (const EndpointState& endpoint : machine_.endpoints)
            look_at(endpoint);
        for (const DeviceState& device : machine_.devices)
            if (const auto origin = origin_of_base(device.info.uuid);
                origin && device.info.suspended && swapped_suspended(device) &&
                machine_.find_origin(*origin) == nullptr && going_.count(device.name()) == 0 &&
                swapping_.count(device.name()) == 0)
                unfinished_way_back(device);
        for (const DeviceState& device : machine_.devices) // which stand on bases
            if (redirect_of_mirror(device.info.uuid) && going_.count(device.name()) == 0)
                look_at(device);
        for (const DeviceState& device : machine_.devices)
            if (is_ours(device.info) && going_.count(device.name()) == 0 && swapping_.count(device.name()) == 0)
                look_at(device);
        for (const OriginState& origin : machine_.origins)
            if (runs_well(origin) && !without_purpose(origin))
                make_images(origin);
        if (machine_.unread.empty())
            remove_stale_files();
        if (!machine_.udev)
            remove_stale_links();
        for (const Error& error : machine_.unread)
            in_the_way(error.subject(), "it cannot be read: " + error.reason(), error.next_step());
        return std::move(found_);
    }

private:
    void repair(
        const DmName& device, std::string found, std::string cure, Plan plan, std::optional<DmInfo> swapped = {})
    {
        plan = with_files_last(std::move(plan));
        for (const Step& step : plan)
            if (const auto* remove = std::get_if<Remove>(&step))
                going_.insert(remove->device.name);
        found_.repairs.push_back({device, std::move(found), std::move(cure), std::move(plan), std::move(swapped)});
    }

    void in_the_way(std::string device, std::string what, std::string next_step)
    {
        found_.in_the_way.push_back({std::move(device), std::move(what), std::move(next_step)});
    }

    void suspended_by_somebody(const DmName& device)
    {
        in_the_way(device.text(), "it is suspended",
            fmt::format("dmsetup resume {}, once you know who suspended it", shell_word(device.text())));
    }

    /// A live device that still has its own table, with ours loaded beside it.
    void unfinished_attach(const DeviceState& device, const Interpose& line)
    {
        const DeviceState* base = machine_.find_device(base_uuid(line.origin));
        if (device.info.suspended && base != nullptr && swapped_suspended(*base)) {
            swapping_.insert(base->name());
            // Forwards, because what is loaded tells us what it was as long as it is not done.
            repair(device.name(), "an attach that was not finished", "finished",
                {SwapSuspended{
                    {device.name(), base->name(), device.table, true, base_health(*base)}, false, device.inactive}},
                device.info);
            return;
        }
        Plan plan = {Clear{device.name(), device.inactive}};
        if (base != nullptr) {
            append(plan, plan_close_files_on(machine_, base->info.number));
            plan.push_back(Remove{as_found(*base)});
        }
        repair(device.name(), "an attach that was not finished", "undone", std::move(plan), device.info);
        if (device.info.suspended)
            suspended_by_somebody(device.name());
    }

    /// A swap that was given up half-way suspends a device for ever whose own table is live and has nothing beside it
    /// any more: of all that was, only the base tells.
    void unfinished_way_back(const DeviceState& base)
    {
        const DeviceState* live = suspended_twin(base);
        if (live == nullptr)
            return;
        if (live->info.inactive_table) {
            swapping_.insert(base.name()); // the evidence
            suspended_by_somebody(live->name());
            return;
        }
        repair(live->name(), "an attach that was not finished", "undone",
            {WakeUp{live->name(), Visibility::public_device}, Remove{as_found(base)}}, live->info);
    }

    /// A suspended device with the devices of the base below it: no two such tables run at once.
    const DeviceState* suspended_twin(const DeviceState& base) const
    {
        const auto below = devices(base.table.empty() ? base.inactive : base.table);
        const auto is_twin = [&](const DeviceState& device) {
            const auto others = devices(device.table);
            return !is_ours(device.info) && device.info.suspended && runs_once(device.table) &&
                   std::find_first_of(others.begin(), others.end(), below.begin(), below.end()) != others.end();
        };
        const auto found = std::find_if(machine_.devices.begin(), machine_.devices.end(), is_twin);
        return found != machine_.devices.end() ? &*found : nullptr;
    }

    /// The base of a raid is suspended by a swap of ours alone, and one that never ran waits for one, which somebody has
    /// done for us.
    const DeviceState* sleeping_base(const OriginState& origin) const
    {
        const DeviceState* base = machine_.find_device(base_uuid(origin.line.origin));
        return base != nullptr && swapped_suspended(*base) && (base->info.suspended || base->table.empty()) ? base
                                                                                                            : nullptr;
    }

    void wake(const OriginState& origin, const DeviceState& base)
    {
        swapping_.insert(base.name());
        Plan plan;
        if (origin.info.suspended)
            plan.push_back(WakeUp{origin.name(), Visibility::public_device, {},
                SuspendedSwap{origin.name(), base.name(), origin.table, true, {}}});
        else
            plan.push_back(WakeUp{base.name(), Visibility::private_device, base.inactive});
        repair(origin.name(), "a swap that was not finished", "undone", std::move(plan), origin.info);
    }

    /// A top of ours: nobody else has anything to do with it.
    void look_at_hooked(const OriginState& origin)
    {
        if (origin.info.suspended)
            suspended_by_somebody(origin.name());
        else if (origin.info.inactive_table)
            in_the_way(origin.name().text(), "somebody has loaded another table for it that is not active yet",
                fmt::format("dmsetup clear {}, once you know whose it is", shell_word(origin.name().text())));
        else if (!origin.hooked())
            take_apart(origin, origin.lost() ? "a detach that was not finished" : "an attach that was not finished",
                origin.lost() ? "finished" : "undone", {});
        else if (without_purpose(origin))
            undo_first_attach(origin, false);
        else
            leave_unused_store(origin);
    }

    /// Of a copy whose program was killed; one at each look, for the last one may take the attach along.
    void end_dead_clone(const OriginState& origin)
    {
        for (const Point& point : origin.points)
            if (is_dead_clone(origin, point))
                try {
                    repair(origin.name(),
                        fmt::format("the snapshot \"{}\" of a copy that was not finished", point.name.text()),
                        "removed", plan_end_clone(machine_, origin, point, point.tags.has(Tag(clone_detach_tag))),
                        origin.live ? std::nullopt : std::optional(origin.info));
                    return;
                } catch (const Error& error) {
                    in_the_way(error.subject(), error.reason(), error.next_step());
                }
    }

    /// Also of invalid snapshots, so that a create with another store, dead before its point, ends where it began.
    void leave_unused_store(const OriginState& origin)
    {
        if (const auto store = origin.store();
            store && !origin.lost() && !has_valid_snapshots(origin) && origin.images.empty() &&
            std::none_of(origin.points.begin(), origin.points.end(),
                [&](const Point& point) { return is_dead_clone(origin, point); })) // goes with that
            leave_store(origin, *store);
    }

    void look_at(const OriginState& origin)
    {
        if (origin.live) {
            look_at_hooked(origin);
            return;
        }
        const bool loaded = !origin.inactive.empty();
        const bool by_detach = loaded && origin.inactive == original_table(origin);
        if (loaded && !by_detach) {
            in_the_way(origin.name().text(), "somebody has loaded another table for it that is not active yet",
                fmt::format("dmsetup clear {}, once you know whose it is", shell_word(origin.name().text())));
            return;
        }
        if (const DeviceState* base = loaded ? nullptr : sleeping_base(origin)) {
            wake(origin, *base);
            return;
        }
        if (origin.info.suspended) {
            if (!by_detach || !finish_detach(origin))
                suspended_by_somebody(origin.name());
            return;
        }
        if (without_purpose(origin)) {
            undo_first_attach(origin, by_detach);
            return;
        }
        if (by_detach)
            repair(origin.name(), "a detach that was not finished", "undone", {Clear{origin.name(), origin.inactive}},
                origin.info);
        leave_unused_store(origin);
    }

    /// If it was suspended by a detach of ours.
    bool finish_detach(const OriginState& origin)
    {
        const DeviceState* base = machine_.find_device(base_uuid(origin.line.origin));
        if (base == nullptr || !swapped_suspended(*base))
            return false;
        swapping_.insert(base->name());
        repair(origin.name(), "a detach that was not finished", "finished",
            {SwapSuspended{
                {origin.name(), base->name(), origin.table, false, origin.loaded_health}, true, origin.inactive}},
            origin.info);
        return true;
    }

    void undo_first_attach(const OriginState& origin, bool by_detach)
    {
        Plan begin;
        if (by_detach)
            begin.push_back(Clear{origin.name(), origin.inactive});
        take_apart(origin, "an attach for a first point that was not taken", "undone", std::move(begin));
    }

    void take_apart(const OriginState& origin, std::string found, std::string cure, Plan plan)
    {
        try {
            append(plan, plan_detach(machine_, origin, true));
        } catch (const Error& error) {
            in_the_way(error.subject(), error.reason(), error.next_step());
            return;
        }
        repair(origin.name(), std::move(found), std::move(cure), std::move(plan),
            origin.live ? std::nullopt : std::optional(origin.info));
    }

    void leave_store(const OriginState& origin, const Uuid& store)
    {
        Plan plan = {LeaveStore{origin.name(), store, where_inside(machine_, origin, store)}};
        append(plan, plan_close_store(machine_, {&origin}, store));
        repair(origin.name(), "a store that no snapshot of it uses", "let go", std::move(plan));
    }

    void look_at(const EndpointState& endpoint)
    {
        const bool idle = does_nothing(endpoint, endpoint.table);
        const bool loaded = !endpoint.inactive.empty();
        if (!endpoint.base || !endpoint.base->leads_to_live()) {
            in_the_way(endpoint.name().text(), "its base has another table by now, or is gone", "restart the machine");
            return;
        }
        if (endpoint.leg && (endpoint.leg->info.suspended || endpoint.info.suspended ||
                                (endpoint.meta && endpoint.meta->info.suspended) || has_loaded_step(endpoint))) {
            finish_mirror_step(endpoint);
            return;
        }
        if (is_half_swapped(endpoint)) {
            repair(
                endpoint.name(), "a swap for a mirror that was not finished", "finished", plan_finish_swap(endpoint));
            return;
        }
        for (const DmInfo* info : {&endpoint.info, &endpoint.base->info})
            if (info->suspended) {
                suspended_by_somebody(info->name);
                return;
            }
        if (endpoint.live && endpoint.live->size.count != 0 && endpoint.live->size != length(endpoint.base->table))
            in_the_way(endpoint.device().text(), "it has another size than the table in its place",
                "dmsnap detach it, then put a new table in its place");
        if (loaded && !idle && !does_nothing(endpoint, endpoint.inactive)) {
            in_the_way(endpoint.name().text(), "somebody has loaded another table for it that is not active yet",
                fmt::format("dmsetup clear {}, once you know whose it is", shell_word(endpoint.name().text())));
            return;
        }
        Plan plan;
        if (loaded)
            plan.push_back(Clear{endpoint.name(), endpoint.inactive});
        if (idle || (!endpoint.takes_bios && endpoint.info.open_count == 0))
            append(plan, plan_end_redirect(endpoint));
        if (!plan.empty())
            repair(endpoint.name(),
                idle ? "a table in a device's place, on its way there or back" : "a detach that was not finished",
                idle ? "taken away" : "undone", std::move(plan));
    }

    /// A step of a mirror's that was not done, and that no other mends.
    static bool has_loaded_step(const EndpointState& endpoint)
    {
        return !endpoint.leg->inactive.empty() || (endpoint.meta && !endpoint.meta->inactive.empty()) ||
               is_swap(endpoint, endpoint.inactive);
    }

    /// Nobody but dmsnap has anything to do with the devices of its mirror, and who writes to it waits.
    void finish_mirror_step(const EndpointState& endpoint)
    {
        Plan plan;
        const auto mend = [&](const DmInfo& info, const Table& inactive) {
            swapping_.insert(info.name);
            if (!inactive.empty())
                plan.push_back(Clear{info.name, inactive});
            if (info.suspended)
                plan.push_back(WakeUp{info.name, Visibility::private_device});
        };
        mend(endpoint.leg->info, endpoint.leg->inactive);
        if (endpoint.meta)
            mend(endpoint.meta->info, endpoint.meta->inactive);
        mend(endpoint.info, endpoint.inactive);
        // Its ends may have been copied, and would look like a copy.
        const auto mirror = mirror_of(endpoint);
        if (mirror && !mirror->whole && !endpoint.target.empty())
            plan.insert(plan.begin(), blank_target(endpoint));
        if (mirror)
            append(plan, plan_forget_swap(endpoint));
        repair(endpoint.name(), "a step of a mirror that was not finished", "undone", std::move(plan));
    }

    /// One that its endpoint's table does not name serves nobody.
    bool is_part_of_mirror(const DeviceState& device) const
    {
        const auto is = [&](const std::optional<DeviceState>& part) {
            return part && part->info.number == device.info.number;
        };
        return std::any_of(machine_.endpoints.begin(), machine_.endpoints.end(), [&](const EndpointState& endpoint) {
            return (is(endpoint.leg) || is(endpoint.meta)) &&
                   (standing_on(device) != nullptr || serves_in_place(endpoint));
        });
    }

    bool is_base_of_endpoint(const DeviceState& device) const
    {
        return std::any_of(machine_.endpoints.begin(), machine_.endpoints.end(), [&](const EndpointState& endpoint) {
            return endpoint.base && endpoint.base->info.number == device.info.number;
        });
    }

    /// A device of ours that no repair so far removes.
    void look_at(const DeviceState& device)
    {
        if (needless(device)) {
            // Whoever just looks into it is outwaited by the removal; a mount does not end by itself.
            if (point_of_image_uuid(device.info.uuid) && device.info.open_count > 0)
                in_the_way(device.name().text(), "nothing of dmsnap's needs it, but it is in use",
                    "umount it, then dmsnap recover");
            else if (const DeviceState* upper = standing_on(device))
                in_the_way(device.name().text(),
                    fmt::format("nothing of dmsnap's needs it, but {} stands on it", upper->name().text()),
                    fmt::format("dmsetup remove {}, then dmsnap recover", shell_word(upper->name().text())));
            else
                repair(device.name(), "a device that nothing needs", "removed", {Remove{as_found(device)}});
        } else if (device.info.suspended && interpose_line(device.table) == nullptr) {
            suspended_by_somebody(device.name());
        }
    }

    /// Another device with it in a table; nullptr if there is none.
    const DeviceState* standing_on(const DeviceState& device) const
    {
        const auto names_it = [&](const Table& table) {
            const auto below = devices(table);
            return std::find(below.begin(), below.end(), DeviceRef(device.info.number)) != below.end();
        };
        const auto found =
            std::find_if(machine_.devices.begin(), machine_.devices.end(), [&](const DeviceState& other) {
                return going_.count(other.name()) == 0 && (names_it(other.table) || names_it(other.inactive));
            });
        return found != machine_.devices.end() ? &*found : nullptr;
    }

    bool needless(const DeviceState& device) const
    {
        if (device.table.empty())
            return true;
        // What was removed by force, or wiped, shows no point any more.
        if (point_of_image_uuid(device.info.uuid))
            return target_type(device.table.front().target) != INTERPOSE_TARGET_IMAGE;
        if (is_top(device.info.uuid))
            return interpose_line(device.table) == nullptr;
        if (redirect_of_mirror(device.info.uuid))
            return !is_part_of_mirror(device);
        if (const auto store = store_of_file(device.info.uuid))
            return machine_.find_store(*store) == nullptr && machine_.unread.empty();
        if (is_base_of_endpoint(device))
            return false;
        if (const auto origin = origin_of_base(device.info.uuid))
            // The images of one that is gone hold what they were made on.
            return machine_.find_origin(*origin) == nullptr && !machine_.is_gone(*origin) &&
                   machine_.unread_origins.count(*origin) == 0 &&
                   // It may be all that tells why a device is suspended that cannot be read now.
                   (machine_.unread.empty() || !swapped_suspended(device));
        return std::any_of(machine_.stores.begin(), machine_.stores.end(), [&](const StoreState& store) {
            return store.info.number == device.info.number && store.status.details &&
                   store.status.details->origins == 0 && machine_.users_of(store.status.store) == 0;
        });
    }

    /// A valid snapshot has an image: a create that died before has taken it, a remove that died has not dropped it.
    void make_images(const OriginState& origin)
    {
        for (const Point& point : origin.points)
            if (point.kind == PointKind::snapshot && point.valid && !is_clone(point))
                make_image(origin, point);
    }

    void make_image(const OriginState& origin, const Point& point)
    {
        try {
            const DmName name = image_name_of(origin, point);
            const ImageState* image = origin.image_of(point);
            if ((image == nullptr || image->info.name != name) && machine_.has_name(name) && going_.count(name) == 0)
                in_the_way(name.text(),
                    fmt::format("the image of the snapshot \"{}\" of {} would have its name", point.name.text(),
                        origin.device().text()),
                    "dmsetup rename it");
            else if (image == nullptr)
                repair(origin.name(), fmt::format("no image of the snapshot \"{}\"", point.name.text()), "made",
                    {Create{{name, image_uuid_of(origin, point),
                        {{Sectors{0}, point.length.value_or(length(origin.table)),
                            InterposeImage{origin.line.origin, origin.id_of(point)}}},
                        Visibility::image, true}}});
            else if (image->info.name != name)
                repair(origin.name(),
                    fmt::format("an image of the snapshot \"{}\" with another name", point.name.text()), "renamed",
                    {RenameImage{image->info.name, name, image->info.uuid}});
            else if (!machine_.udev && machine_.links.count(image_link(point.name, origin.device())) == 0)
                repair(origin.name(), fmt::format("no link to the image of the snapshot \"{}\"", point.name.text()),
                    "made", {MakeLink{image_link(point.name, origin.device()), name}});
        } catch (const Error& error) {
            in_the_way(origin.name().text(), error.what(), error.next_step());
        }
    }

    /// Of stores that a restart or a kill has ended, if they were looked for.
    void remove_stale_files()
    {
        for (const StoreFile& file : machine_.files)
            if (machine_.find_store(file.store) == nullptr && machine_.find_device(file_uuid(file.store)) == nullptr)
                repair(file_name(file.store), fmt::format("the file {} of a store that is gone", file.path), "removed",
                    {RemoveStoreFile{file.path, file.device}});
    }

    /// Where no udevd does it.
    void remove_stale_links()
    {
        std::set<std::string> wanted;
        for (const OriginState& origin : machine_.origins)
            for (const Point& point : origin.points)
                if (origin.image_of(point) != nullptr)
                    wanted.insert(image_link(point.name, origin.device()));
        for (const std::string& link : machine_.links)
            if (const auto image = image_of_link(link); wanted.count(link) == 0 && image && !is_of_gone(link))
                repair(*image, "a link to it that leads nowhere", "removed", {RemoveLink{link, *image}});
    }

    bool is_of_gone(const std::string& link) const
    {
        return std::any_of(machine_.gone.begin(), machine_.gone.end(),
            [&](const OriginState& gone) { return is_link_of(link, gone.name()); });
    }

    const Machine& machine_;
    Recovery found_;
    std::set<DmName> going_;    ///< devices that a repair removes
    std::set<DmName> swapping_; ///< bases of a swap that is finished
};

} // namespace

std::string to_text(const Repair& repair)
{
    return fmt::format("{}: {}: {}", printable(repair.device.text()), repair.found, repair.cure);
}

Recovery plan_recover(const Machine& machine) { return Finder(machine).run(); }

} // namespace dmsnap
