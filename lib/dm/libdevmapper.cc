// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "dm/libdevmapper.h"

#include "base/error.h"
#include "dm/quiet_swap.h"
#include "dm/raid_swap.h"
#include "dm/session.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fmt/format.h>
#include <libdevmapper.h>
#include <sys/stat.h>
#include <thread>

namespace dmsnap {
namespace {

struct DestroyTask {
    void operator()(dm_task* task) const { dm_task_destroy(task); }
};
using TaskPtr = std::unique_ptr<dm_task, DestroyTask>;

std::uint16_t udev_flags(Visibility visibility)
{
    // libdevmapper making nodes itself next to a running udevd is a race that udevd loses.
    const int common = dm_udev_get_sync_support() != 0 ? DM_UDEV_DISABLE_LIBRARY_FALLBACK : 0;
    switch (visibility) {
    case Visibility::private_device:
        return static_cast<std::uint16_t>(common | DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG |
                                          DM_UDEV_DISABLE_DISK_RULES_FLAG | DM_UDEV_DISABLE_OTHER_RULES_FLAG);
    case Visibility::image: return static_cast<std::uint16_t>(common | DM_UDEV_LOW_PRIORITY_FLAG);
    case Visibility::public_device: break;
    }
    return static_cast<std::uint16_t>(common);
}

/// A cookie that is noted before it exists, so that none is lost with us; 0 where nobody notes, or no udevd runs.
class Cookie {
public:
    explicit Cookie(CookieNote* note) : note_(dm_udev_get_sync_support() != 0 ? note : nullptr)
    {
        if (note_ == nullptr)
            return;
        const std::uint32_t number = free_cookie();
        note_->write(number);
        make_cookie(number);
        number_ = number;
    }
    ~Cookie()
    {
        if (number_ != 0)
            end_cookie(number_); // it could not be used; the note is overwritten by the next one
    }
    Cookie(const Cookie&) = delete;
    Cookie& operator=(const Cookie&) = delete;

    std::uint32_t number() const { return number_; }
    void gone()
    {
        number_ = 0;
        if (note_ != nullptr)
            note_->write(std::nullopt);
    }

private:
    CookieNote* note_;
    std::uint32_t number_ = 0;
};

/// Until udevd has handled the event, or has had all the time it gives its own workers: one that is stopped, or whose
/// worker was killed, never answers, and whoever waits here holds locks.
void wait_for_udev(std::uint32_t cookie)
{
    if (cookie == 0)
        return; // no udevd
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::minutes(3);
    for (int ready = 0; dm_udev_wait_immediate(cookie, &ready) != 0 && ready == 0;) {
        if (Clock::now() >= end) {
            end_cookie(cookie);
            return;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

/// One request to device-mapper.  Lives under the session's lock and throws in the name of its subject.
class Task {
public:
    Task(int type, std::string subject, const char* operation)
        : subject_(std::move(subject)), operation_(operation), task_(dm_task_create(type))
    {
        if (!task_)
            throw error(errno != 0 ? errno : EIO, "modprobe dm_mod, as root").as(Fault::cannot_start);
        require(dm_task_no_open_count(task_.get()));
    }
    Task(int type, const DmName& name, const char* operation) : Task(type, name.text(), operation)
    {
        require(dm_task_set_name(task_.get(), name.text().c_str()));
    }
    Task(int type, DeviceNumber number, const char* operation) : Task(type, number.text(), operation)
    {
        require(dm_task_set_major(task_.get(), static_cast<int>(number.major)));
        require(dm_task_set_minor(task_.get(), static_cast<int>(number.minor)));
    }

    dm_task* get() { return task_.get(); }

    /// For the setters, which fail for want of memory or for words libdevmapper does not take.
    void require(int success) const
    {
        if (success == 0)
            throw Error(subject_, operation_, EINVAL);
    }

    void run(const char* next_step = "")
    {
        if (!try_run())
            throw error(failed_with(), next_step);
    }

    /// False, with the errno value in failed_with(), if the kernel refuses.
    bool try_run() { return dm_task_run(task_.get()) != 0; }
    int failed_with() { return dm_task_get_errno(task_.get()); }

    /// Runs, and waits until udevd has done its part.  `note` may be nullptr.
    void run_with_udev(Visibility visibility, CookieNote* note, const char* next_step = "")
    {
        Cookie cookie(note);
        std::uint32_t number = cookie.number();
        require(dm_task_set_cookie(task_.get(), &number, udev_flags(visibility)));
        const bool success = try_run();
        const int failure = failed_with();
        // Also after a failure: the semaphore behind the cookie goes here.
        wait_for_udev(number);
        cookie.gone();
        // Without udevd the nodes wait in libdevmapper's memory for this.
        dm_task_update_nodes();
        if (!success)
            throw error(failure, next_step);
    }

    Error error(int number, std::string next_step) const
    {
        return Error(subject_, operation_, number != 0 ? number : EIO, std::move(next_step));
    }

private:
    std::string subject_;
    const char* operation_;
    TaskPtr task_;
};

void add_targets(Task& task, const Table& table)
{
    for (const TableLine& line : table)
        task.require(dm_task_add_target(task.get(), line.start.count, line.length.count,
            target_type(line.target).c_str(), target_arguments(line.target).c_str()));
    task.require(dm_task_secure_data(task.get()));
}

std::optional<DmInfo> info_of(Task& task)
{
    if (!task.try_run()) {
        if (task.failed_with() == ENXIO)
            return std::nullopt;
        throw task.error(task.failed_with(), {});
    }
    dm_info info{};
    task.require(dm_task_get_info(task.get(), &info));
    if (info.exists == 0)
        return std::nullopt;
    const char* name = dm_task_get_name(task.get());
    const char* uuid = dm_task_get_uuid(task.get());
    DmInfo result{.name = DmName(name != nullptr ? name : ""),
        .uuid = uuid != nullptr ? uuid : "",
        .number = {info.major, info.minor}};
    result.suspended = info.suspended != 0;
    result.live_table = info.live_table != 0;
    result.inactive_table = info.inactive_table != 0;
    result.read_only = info.read_only != 0;
    result.open_count = info.open_count > 0 ? static_cast<std::uint32_t>(info.open_count) : 0;
    result.event_number = info.event_nr;
    return result;
}

/// One line of a table or a status as libdevmapper hands it out.
struct RawLine {
    Sectors start;
    Sectors length;
    std::string type;
    std::string text;
};

std::vector<RawLine> lines_of(Task& task)
{
    std::vector<RawLine> lines;
    void* next = nullptr;
    do {
        std::uint64_t start = 0;
        std::uint64_t length = 0;
        char* type = nullptr;
        char* text = nullptr;
        next = dm_get_next_target(task.get(), next, &start, &length, &type, &text);
        if (type != nullptr)
            lines.push_back({{start}, {length}, type, text != nullptr ? text : ""});
    } while (next != nullptr);
    return lines;
}

std::vector<StatusLine> status_of(Task& task)
{
    task.require(dm_task_no_flush(task.get()));
    task.run();
    std::vector<StatusLine> result;
    for (RawLine& line : lines_of(task))
        result.push_back({line.start, line.length, std::move(line.type), std::move(line.text)});
    return result;
}

Table table_of(Task& task)
{
    task.require(dm_task_secure_data(task.get()));
    task.run();
    Table table;
    for (const RawLine& line : lines_of(task))
        table.push_back({line.start, line.length, make_target(line.type, line.text)});
    return table;
}

/// What a refused table or message is explained by: a target says its reason there and nowhere else.
constexpr const char* see_kernel_log = "dmesg | tail: the kernel's own sentence about it is there";

class LibDevMapper final : public Dm {
public:
    explicit LibDevMapper(CookieNote* note) : note_(note)
    {
        const DmSession session;
        char version[64] = "";
        Task task(DM_DEVICE_VERSION, "device-mapper", "start");
        if (!task.try_run() || dm_task_get_driver_version(task.get(), version, sizeof(version)) == 0)
            throw task.error(task.failed_with(), "modprobe dm_mod, as root").as(Fault::cannot_start);
    }

    std::vector<DmName> list() override
    {
        const DmSession session;
        Task task(DM_DEVICE_LIST, "device-mapper", "list its devices");
        task.run();
        std::vector<DmName> found;
        const dm_names* names = dm_task_get_names(task.get());
        if (names == nullptr || names->dev == 0)
            return found;
        for (;;) {
            found.emplace_back(names->name);
            if (names->next == 0)
                return found;
            names = reinterpret_cast<const dm_names*>(reinterpret_cast<const char*>(names) + names->next);
        }
    }

    std::optional<DmInfo> info(const DmName& name) override { return info_with_count(name); }
    std::optional<DmInfo> info(DeviceNumber number) override { return info_with_count(number); }

    Table table(const DmName& name) override
    {
        const DmSession session;
        Task task(DM_DEVICE_TABLE, name, "read its table");
        return table_of(task);
    }

    Table inactive_table(const DmName& name) override
    {
        const DmSession session;
        Task task(DM_DEVICE_TABLE, name, "read its inactive table");
        task.require(dm_task_query_inactive_table(task.get()));
        return table_of(task);
    }

    std::vector<StatusLine> status(const DmName& name) override
    {
        const DmSession session;
        Task task(DM_DEVICE_STATUS, name, "read its status");
        return status_of(task);
    }

    std::vector<StatusLine> inactive_status(const DmName& name) override
    {
        const DmSession session;
        Task task(DM_DEVICE_STATUS, name, "read the status of its inactive table");
        task.require(dm_task_query_inactive_table(task.get()));
        return status_of(task);
    }

    std::optional<TargetVersion> target_version(const std::string& type) override
    {
        const DmSession session;
        const QuietLog quiet; // that there is none is an answer
        Task task(DM_DEVICE_GET_TARGET_VERSION, "target " + type, "ask for its version");
        task.require(dm_task_set_name(task.get(), type.c_str()));
        if (!task.try_run())
            return std::nullopt;
        const dm_versions* versions = dm_task_get_versions(task.get());
        if (versions == nullptr)
            return std::nullopt;
        return TargetVersion{versions->version[0], versions->version[1], versions->version[2]};
    }

    bool udev_runs() override
    {
        const DmSession session;
        return dm_udev_get_sync_support() != 0;
    }

    void create(const NewDevice& device) override
    {
        const DmSession session;
        Task task(DM_DEVICE_CREATE, device.name, "create it");
        task.require(dm_task_set_uuid(task.get(), device.uuid.c_str()));
        if (device.read_only)
            task.require(dm_task_set_ro(task.get()));
        task.require(dm_task_set_uid(task.get(), 0));
        task.require(dm_task_set_gid(task.get(), 0));
        task.require(dm_task_set_mode(task.get(), S_IRUSR | S_IWUSR));
        add_targets(task, device.table);
        task.run_with_udev(device.visibility, note_, see_kernel_log);
    }

    void prepare(const NewDevice& device) override
    {
        {
            const DmSession session;
            Task task(DM_DEVICE_CREATE, device.name, "create it");
            task.require(dm_task_set_uuid(task.get(), device.uuid.c_str()));
            task.require(dm_task_set_uid(task.get(), 0));
            task.require(dm_task_set_gid(task.get(), 0));
            task.require(dm_task_set_mode(task.get(), S_IRUSR | S_IWUSR));
            task.run();
        }
        try {
            load(device.name, device.table);
        } catch (const Error&) {
            remove(device.name);
            throw;
        }
    }

    void load(const DmName& name, const Table& table) override
    {
        const DmSession session;
        Task task(DM_DEVICE_RELOAD, name, "load its table");
        add_targets(task, table);
        task.run(see_kernel_log);
    }

    void clear(const DmName& name) override
    {
        const DmSession session;
        Task(DM_DEVICE_CLEAR, name, "clear its table").run();
    }

    void resume(const DmName& name, Visibility visibility) override
    {
        const DmSession session;
        Task task(DM_DEVICE_RESUME, name, "resume it");
        task.require(dm_task_skip_lockfs(task.get()));
        // A mirror that has lost a leg fails the writes it holds, unless it may hand them on to the next table.
        if (visibility == Visibility::private_device)
            task.require(dm_task_no_flush(task.get()));
        task.run_with_udev(visibility, note_, see_kernel_log);
    }

    void swap_suspended(const SuspendedSwap& swap) override
    {
        const DmSession session;
        swap_raid(swap, udev_flags(Visibility::private_device), udev_flags(Visibility::public_device));
    }

    void swap_quiet(const QuietSwap& swap) override
    {
        const DmSession session;
        dmsnap::swap_quiet(swap, udev_flags(Visibility::private_device));
    }

    void remove(const DmName& name) override
    {
        const DmSession session;
        Task task(DM_DEVICE_REMOVE, name, "remove it");
        // udevd's own probing holds a device open for moments: tried again for five seconds.
        task.require(dm_task_retry_remove(task.get()));
        try {
            task.run_with_udev(Visibility::public_device, note_);
        } catch (const Error& error) {
            if (error.number() != EBUSY)
                throw;
            throw Error(name.text(), "remove it", EBUSY, "end what has it open, then again");
        }
    }

    void rename(const DmName& name, const DmName& to, Visibility visibility) override
    {
        const DmSession session;
        Task task(DM_DEVICE_RENAME, name, "rename it");
        task.require(dm_task_set_newname(task.get(), to.text().c_str()));
        task.run_with_udev(visibility, note_);
    }

    std::string message(const DmName& name, const Message& message) override
    {
        const DmSession session;
        const std::string text = to_text(message);
        const std::string operation = fmt::format("send \"{}\"", text.substr(0, text.find(' ')));
        Task task(DM_DEVICE_TARGET_MSG, name, operation.c_str());
        task.require(dm_task_set_sector(task.get(), 0));
        task.require(dm_task_set_message(task.get(), text.c_str()));
        task.run(see_kernel_log);
        const char* answer = dm_task_get_message_response(task.get());
        return answer != nullptr ? answer : "";
    }

private:
    template <typename Key> std::optional<DmInfo> info_with_count(const Key& key)
    {
        const DmSession session;
        Task task(DM_DEVICE_INFO, key, "read its state");
        return info_of(task);
    }

    CookieNote* note_;
};

} // namespace

std::unique_ptr<Dm> make_libdevmapper(CookieNote* note) { return std::make_unique<LibDevMapper>(note); }

} // namespace dmsnap
