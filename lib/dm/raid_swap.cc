// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
//   suspend live; compare health; start or stop base; resume live
//
// A raid table reads the state of its legs when it is loaded, and writes it when it runs. A leg that fails in between
// would be read as good by a table that does not know. Once nothing is under way any more the word of the running raid
// says whether one did.
#include "dm/raid_swap.h"

#include "dm/request.h"
#include "dm/suspended.h"

#include <cerrno>
#include <string>
#include <string_view>

namespace dmsnap {
namespace {

class RaidSwap final : public Section {
public:
    RaidSwap(const SuspendedSwap& swap, std::uint16_t base_flags, std::uint16_t live_flags)
        : live_(swap.name.text()), base_(swap.base.text()), from_base_(interpose_line(swap.before) != nullptr),
          to_base_(swap.to_base), health_(swap.health),
          look_(DM_TABLE_STATUS, swap.name, DM_STATUS_TABLE_FLAG | DM_NOFLUSH_FLAG, Request::status_bytes),
          ours_(DM_TABLE_STATUS, swap.name, DM_STATUS_TABLE_FLAG | DM_QUERY_INACTIVE_TABLE_FLAG, Request::status_bytes),
          loaded_(ours_),
          ask_health_(DM_TABLE_STATUS, swap.to_base ? swap.name : swap.base, DM_NOFLUSH_FLAG, Request::status_bytes),
          suspend_(DM_DEV_SUSPEND, swap.name, DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG),
          resume_(Request(DM_DEV_SUSPEND, swap.name, DM_SKIP_LOCKFS_FLAG).with_udev_flags(live_flags)),
          clear_(DM_TABLE_CLEAR, swap.name, 0),
          load_before_(Request(DM_TABLE_LOAD, swap.name, DM_SECURE_DATA_FLAG).with_table(swap.before)),
          start_base_(Request(DM_DEV_SUSPEND, swap.base, DM_SKIP_LOCKFS_FLAG).with_udev_flags(base_flags)),
          stop_base_(DM_DEV_SUSPEND, swap.base, DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG)
    {
    }

    /// What is loaded now is what is to be swapped in.
    int note(int control) override { return ours_.run(control); }
    bool was_suspended() const noexcept override { return ours_.is_suspended(); }
    const char* device() const noexcept override { return live_.c_str(); }

    Report run(int control, bool first) noexcept override
    {
        Report report;
        begun_ = !first;
        if (!forwards(control, report) && begun_)
            backwards(control);
        return report;
    }

private:
    bool forwards(int control, Report& report) noexcept
    {
        return has_table(control, report) && suspends(control, report) && keeps_health(control, report) &&
               !report.fails(set_base(control, to_base_), base_.c_str(), to_base_ ? "start it" : "stop it") &&
               has_table(control, report) && !report.fails(resume_.run(control), live_.c_str(), "resume it");
    }

    bool suspends(int control, Report& report) noexcept
    {
        begun_ = true;
        return !report.fails(suspend_.run(control), live_.c_str(), "suspend it");
    }

    bool refuse(Report& report, const char* reason, const char* next_step) noexcept
    {
        report = {ESTALE, live_.c_str(), "swap its table", reason, next_step};
        return false;
    }

    /// Without the other table in it a resume would run the one it has, and the base runs that too, or neither does;
    /// with a stranger's the base runs beside something unknown.
    bool has_table(int control, Report& report) noexcept
    {
        if (report.fails(look_.run(control), live_.c_str(), "swap its table"))
            return false;
        if (!look_.has_loaded())
            return look_.is_interpose() == to_base_ ||
                   refuse(report, "somebody has cleared the new table meanwhile", "again");
        if (report.fails(loaded_.run(control), live_.c_str(), "swap its table"))
            return false;
        return loaded_.tells_same_table(ours_) ||
               refuse(report, "somebody else has loaded another table for it meanwhile", "again");
    }

    /// Until the swap is done: what runs now is asked about what will run.
    bool keeps_health(int control, Report& report) noexcept
    {
        if (health_.empty() || !look_.has_loaded())
            return true;
        if (report.fails(ask_health_.run(control), live_.c_str(), "ask for the state of its legs"))
            return false;
        if (ask_health_.has_failures_of(health_))
            return true;
        return refuse(report, "a leg of the raid has failed, or come back, since its new table was loaded",
            "again, once lvs -a shows which leg it is");
    }

    int set_base(int control, bool running) noexcept
    {
        return running ? start_base_.run(control) : stop_base_.run(control);
    }

    /// What fails here is left to whoever reads the error and looks again.  Two tables that run at once would destroy
    /// data: rather a device that waits.  Whoever finds it half-way can tell, by a base that is suspended, that it was we
    /// who suspended the live device.
    void backwards(int control) noexcept
    {
        if (look_.run(control) != 0)
            return;
        // Another child has ended it, but perhaps not the base.
        if (!look_.is_suspended()) {
            set_base(control, look_.is_interpose());
            return;
        }
        if (stop_base_.run(control) != 0 || clear_.run(control) != 0 || look_.run(control) != 0)
            return;
        // The module takes no table for an origin that is suspended; it has one only if it is no interpose now.
        if (look_.is_interpose() != from_base_ && load_before_.run(control) != 0)
            return;
        if (resume_.run(control) == 0 && from_base_)
            start_base_.run(control);
    }

    std::string live_;
    std::string base_;
    bool from_base_;
    bool to_base_;
    std::string health_;
    bool begun_ = false;
    Request look_;
    Request ours_;
    Request loaded_;
    Request ask_health_;
    Request suspend_;
    Request resume_;
    Request clear_;
    Request load_before_;
    Request start_base_;
    Request stop_base_;
};

} // namespace

void swap_raid(const SuspendedSwap& swap, std::uint16_t base_flags, std::uint16_t live_flags)
{
    RaidSwap section(swap, base_flags, live_flags);
    run_suspended(section);
}

} // namespace dmsnap
