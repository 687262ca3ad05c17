// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world/tracing.h"

#include "world/file.h"

#include <filesystem>
#include <system_error>

namespace dmsnap {

Obstacle tracing_obstacle(const Roots& roots)
{
    const auto enabled = roots.proc / "sys/kernel/ftrace_enabled";
    std::error_code error;
    if (!std::filesystem::exists(enabled, error))
        return {"the kernel is built without CONFIG_FUNCTION_TRACER", "a kernel that has it"};
    if (first_line(enabled) == "0")
        return {"kernel.ftrace_enabled is 0", "sysctl kernel.ftrace_enabled=1"};
    if (first_line(roots.sys / "kernel/realtime") == "1")
        return {"the kernel is PREEMPT_RT, where the hook was never tried", "a kernel without that"};
    return {"the kernel is built without CONFIG_DYNAMIC_FTRACE, or with neither CONFIG_DYNAMIC_FTRACE_WITH_ARGS nor "
            "CONFIG_DYNAMIC_FTRACE_WITH_REGS",
        "a kernel that has them"};
}

} // namespace dmsnap
