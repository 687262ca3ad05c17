// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/error.h"
#include "base/text.h"
#include "session.h"

#include <fmt/format.h>

namespace dmsnap::tool {
namespace {

/// For the udev rule, which makes an image's link of it.  Asks device-mapper alone, and waits for nobody: udevd waits
/// for this.
int run_udev(const Arguments& arguments)
{
    arguments.require_objects(1, 1);
    const std::string& text = arguments.objects().front();
    const auto number = DeviceNumber::from_text(text);
    if (!number)
        throw Error(
            "\"" + printable(text) + "\"", "use it", "it is no MAJOR:MINOR", "the number of an image, such as 253:5")
            .as(Fault::usage);
    const auto dm = start();
    const auto names = read_image_names(*dm, *number);
    if (!names)
        throw Error(
            text, "name its image", "it is no image of an attached device", "dmsnap list -o snap_name,snap_path");
    print(fmt::format("DMSNAP_NAME={}\nDMSNAP_DEVICE={}\n", names->point, names->origin));
    return exit_done;
}

} // namespace

const Command udev_command = {
    .name = "udev",
    .synopsis = "MAJOR:MINOR",
    .summary = "print an image's names for the udev rule",
    .options = {},
    .group = Group::none,
    .hidden = true,
    .run = run_udev,
};

} // namespace dmsnap::tool
