// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "base/device_number.h"
#include "base/names.h"
#include "table/messages.h"
#include "table/table.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dmsnap {

/// How udev shall treat a device: its own business, not at all, or as an image that must not take the origin's links.
enum class Visibility { public_device, private_device, image };

struct DmInfo {
    DmName name;
    std::string uuid; ///< empty if it has none
    DeviceNumber number;
    bool suspended = false;
    bool live_table = false;
    bool inactive_table = false;
    bool read_only = false;
    std::uint32_t open_count = 0;
    std::uint32_t event_number = 0;
    bool operator==(const DmInfo&) const = default;
};

struct NewDevice {
    DmName name;
    std::string uuid;
    Table table;
    Visibility visibility = Visibility::private_device;
    bool read_only = false;
    bool operator==(const NewDevice&) const = default;
};

struct StatusLine {
    Sectors start;
    Sectors length;
    std::string type;
    std::string text; ///< the target's own words
    bool operator==(const StatusLine&) const = default;
};

struct TargetVersion {
    std::uint32_t major = 0;
    std::uint32_t minor = 0;
    std::uint32_t patch = 0;
    bool operator==(const TargetVersion&) const = default;
};

/// A swap between two tables of which one stands on `base`, and the other must not run while the base does.
struct SuspendedSwap {
    DmName name;          ///< the live device
    DmName base;          ///< runs exactly while the live device's table is "interpose"
    Table before;         ///< the live device's table until now
    bool to_base = false; ///< from then on the live device stands on the base
    std::string health;   ///< raid_health() that the table to run next was loaded with, or just before that; empty: not
                          ///< known, not compared
    bool operator==(const SuspendedSwap&) const = default;
};

/// Parts of one device that are copied to another one, at the same place, each durable before the next is begun.
struct CopiedParts {
    std::string from; ///< paths
    std::string to;
    std::vector<Run> parts;
    bool operator==(const CopiedParts&) const = default;
};

/// A swap at a moment at which nothing is under way in a private device, whose table is a raid.
struct QuietSwap {
    DmName name;
    std::string health;                ///< raid_health() that it must have then
    std::optional<CopiedParts> copied; ///< at that moment
    std::optional<DmName> below;       ///< another private device, which gets then what is loaded for it
    bool operator==(const QuietSwap&) const = default;
};

/// What device-mapper can be asked for.  All of it throws Error with the errno value the kernel gave.  Tables handed
/// in name devices by number only.
class Dm {
public:
    virtual ~Dm() = default;

    /// Every device there is, in no order.
    virtual std::vector<DmName> list() = 0;
    /// Nothing if there is no such device.
    virtual std::optional<DmInfo> info(const DmName& name) = 0;
    /// Nothing if no such device-mapper device exists.
    virtual std::optional<DmInfo> info(DeviceNumber number) = 0;
    /// The live table, keys included.
    virtual Table table(const DmName& name) = 0;
    /// The table in the inactive slot, empty if there is none.
    virtual Table inactive_table(const DmName& name) = 0;
    /// Does not flush what is pending.
    virtual std::vector<StatusLine> status(const DmName& name) = 0;
    /// The same of the table in the inactive slot.
    virtual std::vector<StatusLine> inactive_status(const DmName& name) = 0;
    /// The version of a target's module, which is loaded if need be; nothing if there is none.
    virtual std::optional<TargetVersion> target_version(const std::string& type) = 0;

    /// Whether udevd runs, so that it makes the nodes and links of devices.
    virtual bool udev_runs() = 0;

    /// Creates, loads and resumes; what fails leaves no device behind.
    virtual void create(const NewDevice& device) = 0;
    /// Creates and loads, and does not resume: the table does not run.  What fails leaves no device behind.
    virtual void prepare(const NewDevice& device) = 0;
    /// Loads into the inactive slot.
    virtual void load(const DmName& name, const Table& table) = 0;
    /// Empties the inactive slot.
    virtual void clear(const DmName& name) = 0;
    /// Resumes; with a table in the inactive slot the kernel suspends, swaps and resumes in this one call.  What is
    /// under way is waited for, and the filesystem is not frozen: a swap changes nothing it sees, and one that
    /// somebody else has frozen would make the swap fail.
    virtual void resume(const DmName& name, Visibility visibility) = 0;
    /// Suspends the live device, starts or stops the base, and resumes the live device with what it has loaded.  What
    /// fails is put back, and so is a raid that has lost a leg since the table to be started was loaded, which does not
    /// know.  Writers wait meanwhile, so it is done by a process of its own that nothing holds up and
    /// that ends its work even if this one is killed.
    virtual void swap_suspended(const SuspendedSwap& swap) = 0;
    /// Suspends the device, and if its raid is as healthy as it should be copies the parts, swaps the device below, and
    /// resumes it with what it has loaded, if anything.  Done as swap_suspended() is; what fails leaves both
    /// with the tables they had and nothing loaded, and zeros where parts were copied.
    virtual void swap_quiet(const QuietSwap& swap) = 0;
    virtual void remove(const DmName& name) = 0;
    virtual void rename(const DmName& name, const DmName& to, Visibility visibility) = 0;
    /// The target's answer, empty if it gives none.
    virtual std::string message(const DmName& name, const Message& message) = 0;
};

} // namespace dmsnap
