"""Key points: a pose in any common format becomes 18 joints `x y`, in the order of `pose.JOINTS`.

`layouts` handles the orders of the joints, `formats` and `files` the files, and `frames` the image whose pixel
coordinates they use.
"""

from nted_lite.keypoints.files import keypoints_file, read_keypoints
from nted_lite.keypoints.frames import AUTO, PoseOptions, doubt, read_pose, to_frame
from nted_lite.keypoints.layouts import absent, from_body25, from_coco17, to_coco18

__all__ = [
    "AUTO", "PoseOptions", "absent", "doubt", "from_body25", "from_coco17", "keypoints_file", "read_keypoints",
    "read_pose", "to_coco18", "to_frame",
]  # fmt: skip
