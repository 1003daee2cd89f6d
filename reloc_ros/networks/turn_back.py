"""Features of a frame as the camera would have seen them had it not turned: what a known heading takes out of a comparison.

Two frames far apart in heading share no columns. Turned back by the heading of the odometer, the second shows what the
first does where both see the same place, moved by no more than the odometer's error and the way between them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reloc_ros.networks.frame_encoder import FrameConfig

# Width of the interpolation in columns: neighbours blend into each other and nothing else does.
_BLEND = 0.4


class TurnBack(nn.Module):
    """Interpolates the columns of features on the circle of azimuth.

    Args:
        frame: layout of the features.
    """

    def __init__(self, frame: FrameConfig) -> None:
        super().__init__()
        self.frame = frame
        column_rad = 2.0 * torch.pi / frame.columns
        apart = (torch.arange(frame.columns)[:, None] - torch.arange(frame.columns)) * column_rad
        sharpness = (_BLEND * column_rad) ** -2
        self.register_buffer("along", sharpness * apart.cos(), persistent=False)
        self.register_buffer("across", sharpness * apart.sin(), persistent=False)

    def forward(self, features: Tensor, rotation: Tensor) -> Tensor:
        """Return features (..., F) turned about the vertical by the heading of R_first_camera (..., 3, 3).

        The heading is that of the camera's axis, seen along the vertical (y) of the first camera. No gradient flows into
        it: a network must not turn its odometer to make frames look alike.
        """
        axis = rotation.detach()[..., 0::2, 2].to(features)
        sine, cosine = nn.functional.normalize(axis, dim=-1).unbind(-1)
        # A column at azimuth a shows what was at a minus the heading: the closest columns to that, by the cosine.
        closeness = cosine[..., None, None] * self.along + sine[..., None, None] * self.across
        share = closeness.softmax(dim=-1)
        cells = share.unsqueeze(-3) @ self.frame.cells(features)
        coverage = self.frame.coverage(features) @ share.transpose(-1, -2)
        summary = features[..., self.frame.size - self.frame.summary :]
        return torch.cat([cells.flatten(-3), coverage.flatten(-2), summary], dim=-1)
