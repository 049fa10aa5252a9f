"""The table of operator names behind `taxonomy`: a block of names per group.

A block starts with ATen operators; `quantized::` is the namespace of the words after it. Rules in
`taxonomy` cover variants: `add` stands for `aten::add`, `aten::add_` and `aten::add.Tensor`. A
composite is in the group of the kernel that it wraps (`batch_norm` and `native_batch_norm`), or in
`wrapper` if that is a MAC kernel.
"""

from __future__ import annotations

# Composites around MAC kernels. Some backends record no event of their own: their time is in the
# innermost of these (oneDNN's transposed convolution in `_convolution`). See `is_mac_wrapper`.
MAC_WRAPPER = """
conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d convolution
_convolution _convolution_mode thnn_conv2d slow_conv3d linear matmul einsum tensordot inner mv
addbmm chain_matmul matrix_power bilinear _trilinear linalg_matmul linalg_multi_dot
linalg_matrix_power _compute_linear_combination scaled_dot_product_attention
_scaled_dot_product_attention_math _native_multi_head_attention _triton_multi_head_attention
_transformer_encoder_layer_fwd lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell
rnn_relu_cell
"""

_NAMES = {
    # Kernels whose self time is MAC time. `quantized_lstm` and its like are here because they call
    # their matrix product directly, below the profiler.
    "mac": """
mkldnn_convolution _slow_conv2d_forward slow_conv3d_forward slow_conv_transpose2d
slow_conv_transpose3d slow_conv_dilated2d slow_conv_dilated3d _conv_depthwise2d conv_depthwise3d
_nnpack_spatial_convolution cudnn_convolution cudnn_convolution_transpose cudnn_convolution_relu
cudnn_convolution_add_relu miopen_convolution miopen_convolution_transpose
miopen_depthwise_convolution miopen_convolution_relu miopen_convolution_add_relu
convolution_overrideable _mps_convolution _mps_convolution_transpose

addmm mm bmm baddbmm addmv dot vdot _addmm_activation mkldnn_linear _int_mm _scaled_mm _scaled_mm_v2
_grouped_mm _scaled_grouped_mm _scaled_grouped_mm_v2 _mixed_dtypes_linear _dyn_quant_matmul_4bit
_weight_int4pack_mm _weight_int4pack_mm_for_cpu _weight_int4pack_mm_with_scales_and_zeros
_weight_int8pack_mm fbgemm_linear_int8_weight fbgemm_linear_int8_weight_fp32_activation
fbgemm_linear_fp16_weight fbgemm_linear_fp16_weight_fp32_activation
_wrapped_quantized_linear_prepacked

_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention
_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention
_scaled_dot_product_fused_attention_overrideable _scaled_dot_product_attention_math_for_mps
_flash_attention_forward _flash_attention_forward_no_dropout_inplace _efficient_attention_forward
_cudnn_attention_forward _triton_scaled_dot_attention

mkldnn_rnn_layer _cudnn_rnn miopen_rnn _lstm_mps quantized_lstm quantized_gru quantized_lstm_cell
quantized_gru_cell quantized_rnn_relu_cell quantized_rnn_tanh_cell

convolution_backward convolution_backward_overrideable _slow_conv2d_backward linear_backward
mkldnn_linear_backward mps_convolution_backward mps_convolution_transpose_backward lstm_mps_backward
_flash_attention_backward _efficient_attention_backward _cudnn_attention_backward

quantized:: conv1d conv1d_relu conv1d_dynamic conv2d conv2d_relu conv2d_add conv2d_add_relu
conv2d_dynamic conv3d conv3d_relu conv3d_dynamic conv_transpose1d conv_transpose1d_dynamic
conv_transpose2d conv_transpose2d_dynamic conv_transpose3d conv_transpose3d_dynamic linear
linear_relu linear_leaky_relu linear_tanh linear_dynamic linear_relu_dynamic linear_dynamic_fp16
linear_relu_dynamic_fp16 linear_dynamic_fp16_unpacked_weight
linear_with_input_q_dq_qweight_dq_output_fp32 linear_with_input_q_dq_qweight_dq_relu_output_fp32
matmul int4mm_packed_weight_cpu quantized_lstm_cell_dynamic quantized_gru_cell_dynamic
quantized_rnn_relu_cell_dynamic quantized_rnn_tanh_cell_dynamic
_quantized:: conv2d conv2d_relu conv3d conv3d_relu conv_transpose1d conv_transpose2d linear
linear_dynamic wrapped_fbgemm_linear_fp16_weight wrapped_quantized_linear
_wrapped_quantized_linear_prepacked
onednn:: qconv1d_pointwise qconv2d_pointwise qconv3d_pointwise qconv_pointwise qlinear_pointwise
linear_dynamic_fp16 linear_relu_dynamic_fp16
mkldnn:: _convolution_pointwise _convolution_transpose_pointwise _linear_pointwise
mkldnn_prepacked:: conv2d_run
mkl:: _mkl_linear
inductor:: _mm_plus_mm
prepacked:: conv2d_clamp_run conv2d_transpose_clamp_run linear_clamp_run
sparse:: qlinear qlinear_relu qlinear_dynamic qlinear_relu_dynamic
""",
    # Queries of the dispatcher, its settings, and records without any tensor work.
    "wrapper": f"""{MAC_WRAPPER}
_nnpack_available cudnn_is_acceptable _use_cudnn_ctc_loss _use_miopen_ctc_loss
_use_cudnn_rnn_flatten_weight _fused_sdp_choice resolve_conj resolve_neg result_type promote_types
can_cast get_device size stride numel dim storage_offset sym_size sym_stride sym_numel
sym_storage_offset sym_is_contiguous sym_constrain_range sym_constrain_range_for_size
_functional_sym_constrain_range _functional_sym_constrain_range_for_size _version output_nr
_debug_has_internal_overlap _has_same_storage_numel _has_compatible_shallow_copy_type _is_zerotensor
_assert_async _assert_scalar _assert_tensor_metadata _functional_assert_async
_functional_assert_scalar _print requires_grad_ retain_grad retains_grad record_stream set_data data
qscheme q_scale q_zero_point q_per_channel_axis q_per_channel_scales q_per_channel_zero_points
_cufft_get_plan_cache_size _cufft_get_plan_cache_max_size _cufft_set_plan_cache_max_size
_cufft_clear_plan_cache dense_dim sparse_dim _nnz affine_grid_generator cudnn_affine_grid_generator
quantized:: conv2d_unpack_sizes make_quantized_cell_params make_quantized_cell_params_dynamic
make_quantized_cell_params_fp16
profiler:: _record_function_enter _record_function_enter_new _record_function_exit
""",
    "normalization": """
batch_norm _batch_norm_impl_index native_batch_norm _native_batch_norm_legit
_native_batch_norm_legit_no_training _native_batch_norm_legit_functional _batch_norm_no_update
_batch_norm_with_update _batch_norm_with_update_functional batch_norm_elemt batch_norm_stats
batch_norm_update_stats batch_norm_gather_stats batch_norm_gather_stats_with_counts cudnn_batch_norm
miopen_batch_norm quantized_batch_norm layer_norm native_layer_norm group_norm native_group_norm
instance_norm rms_norm _fused_rms_norm renorm embedding_renorm _weight_norm _weight_norm_interface
norm_except_dim
quantized:: batch_norm batch_norm_relu batch_norm1d batch_norm1d_relu batch_norm2d batch_norm2d_relu
batch_norm3d batch_norm3d_relu layer_norm group_norm instance_norm
onednn:: qbatch_norm2d
""",
    # `clamp` and its like are here because `aten::relu` and `aten::relu6` only call them.
    "activation": """
relu relu6 clamp clamp_min clamp_max clip hardtanh threshold leaky_relu prelu _prelu_kernel rrelu
rrelu_with_noise rrelu_with_noise_functional elu selu celu gelu silu mish sigmoid log_sigmoid
log_sigmoid_forward hardsigmoid hardswish tanh softplus softshrink hardshrink glu glu_jvp softmax
_softmax _safe_softmax _masked_softmax log_softmax _log_softmax special_softmax special_log_softmax
_thnn_fused_lstm_cell _thnn_fused_gru_cell
quantized:: relu6 leaky_relu prelu elu celu hardswish sigmoid softmax threshold clamp
""",
    # Pooling and other resampling of a map: up, down, on a grid, in regions.
    "pooling": """
max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices
max_pool3d_with_indices mkldnn_max_pool2d mkldnn_max_pool3d quantized_max_pool1d
quantized_max_pool2d quantized_max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d
adaptive_avg_pool2d _adaptive_avg_pool2d mkldnn_adaptive_avg_pool2d adaptive_avg_pool3d
_adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
fractional_max_pool2d fractional_max_pool3d max_unpool2d max_unpool3d upsample_nearest1d
upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d
_upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d
upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa _upsample_lanczos2d_aa
grid_sampler grid_sampler_2d grid_sampler_3d _grid_sampler_2d_cpu_fallback cudnn_grid_sampler
quantized:: max_pool1d max_pool2d
torchvision:: roi_align roi_pool ps_roi_align ps_roi_pool
""",
    # One result per element: arithmetic, comparison, masks, random numbers.
    "elementwise": """
add sub subtract rsub mul multiply div divide true_divide floor_divide remainder fmod addcmul
addcdiv addr outer ger kron lerp _add_relu abs absolute neg negative positive sign sgn signbit
copysign reciprocal pow float_power square sqrt rsqrt exp exp2 expm1 log log2 log10 log1p logaddexp
logaddexp2 xlogy ldexp frexp sin cos tan sinh cosh sinc asin acos atan atan2 asinh acosh atanh
arcsin arccos arctan arctan2 arcsinh arccosh arctanh erf erfc erfinv lgamma digamma polygamma
mvlgamma igamma igammac i0 logit hypot deg2rad rad2deg floor ceil round trunc fix frac nan_to_num
nextafter heaviside maximum minimum fmax fmin gcd lcm eq ne lt le gt ge less less_equal greater
greater_equal not_equal isclose isnan isinf isfinite isposinf isneginf isreal logical_and logical_or
logical_not logical_xor bitwise_and bitwise_or bitwise_not bitwise_xor bitwise_left_shift
bitwise_right_shift __and__ __or__ __xor__ __lshift__ __rshift__ __iand__ __ior__ __ixor__
__ilshift__ __irshift__ where masked_fill tril triu complex polar angle conj_physical _conj_physical
cross linalg_cross dropout native_dropout _fused_dropout alpha_dropout feature_dropout
feature_alpha_dropout _masked_scale normal normal_functional uniform random bernoulli exponential
geometric cauchy log_normal poisson binomial _standard_gamma _sample_dirichlet
_cudnn_init_dropout_state _transform_bias_rescale_qkv fake_quantize_per_tensor_affine
fake_quantize_per_channel_affine fake_quantize_per_tensor_affine_cachemask
fake_quantize_per_channel_affine_cachemask _fake_quantize_per_tensor_affine_cachemask_tensor_qparams
_fake_quantize_learnable_per_tensor_affine _fake_quantize_learnable_per_channel_affine
fused_moving_avg_obs_fake_quant _fused_moving_avg_obs_fq_helper
_fused_moving_avg_obs_fq_helper_functional _amp_update_scale
_amp_foreach_non_finite_check_and_unscale _fused_adam _fused_adamw _fused_adagrad _fused_sgd
quantized:: add add_relu add_scalar add_scalar_relu mul mul_relu mul_scalar mul_scalar_relu dropout
_quantized:: add
onednn:: qadd qadd_relu qmul
""",
    "concatenation": """
cat concat concatenate stack _stack hstack vstack dstack row_stack column_stack block_diag
_chunk_cat
quantized:: cat cat_relu
""",
    # Bytes copied, set, reordered, or converted. `fill_` and `zero_` write memory that `zeros` only
    # allocates; `item` waits for a value to come back.
    "data_movement": """
copy _copy_from _copy_from_and_resize clone _lazy_clone contiguous to _to_copy _to_cpu type_as
_cast_Byte _cast_Char _cast_Double _cast_Float _cast_Half _cast_Int _cast_Long _cast_Short chalf
_autocast_to_reduced_precision _autocast_to_full_precision _saturate_weight_to_fp16 fill zero
fill_diagonal_ pin_memory _pin_memory item _local_scalar_dense pad constant_pad_nd _pad_enum
_pad_circular reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
replication_pad3d pad_sequence _pack_padded_sequence _pad_packed_sequence
_jagged_to_padded_dense_forward _padded_dense_to_jagged_forward to_padded_tensor roll flip fliplr
flipud rot90 repeat tile repeat_interleave channel_shuffle native_channel_shuffle pixel_shuffle
pixel_unshuffle im2col col2im fft_fftshift fft_ifftshift diag diag_embed diagflat select_scatter
slice_scatter diagonal_scatter as_strided_scatter flatten_dense_tensors _reshape_from_tensor
_reshape_copy to_mkldnn to_dense _to_dense _mkldnn_reshape _mkldnn_transpose
mkldnn_reorder_conv2d_weight mkldnn_reorder_conv3d_weight _cudnn_rnn_flatten_weight
quantize_per_tensor quantize_per_tensor_dynamic quantize_per_channel dequantize int_repr
_make_per_tensor_quantized_tensor _make_per_channel_quantized_tensor _convert_weight_to_int4pack
_convert_weight_to_int4pack_for_cpu _dyn_quant_pack_4bit_weight fbgemm_linear_quantize_weight
fbgemm_pack_gemm_matrix_fp16 fbgemm_pack_quantized_matrix _wrapped_linear_prepack
_quantized:: _wrapped_linear_prepack wrapped_fbgemm_pack_gemm_matrix_fp16
mkldnn:: _reorder_convolution_weight _reorder_convolution_transpose_weight _reorder_linear_weight
_reorder_mkldnn_rnn_layer_weight
mkldnn_prepacked:: conv2d_prepack
mkl:: _mkl_reorder_linear_weight
quantization:: _Bfloat16QuantizedToFloat _FloatToBfloat16Quantized
quantized_decomposed:: quantize_per_tensor quantize_per_channel quantize_per_channel_group
quantize_per_token dequantize_per_tensor dequantize_per_channel dequantize_per_channel_group
dequantize_per_token convert_element_type
torchvision:: deform_conv2d
""",
    # Another shape of the same bytes; a copy inside `reshape` is an event of its own.
    "view": """
view view_as _unsafe_view _reshape_alias reshape reshape_as as_strided slice slice_inverse narrow
select expand expand_as broadcast_to broadcast_tensors meshgrid transpose permute t numpy_T mT mH
matrix_H adjoint swapaxes swapdims moveaxis movedim unsqueeze squeeze flatten unflatten ravel
unflatten_dense_tensors split split_with_sizes unsafe_split unsafe_split_with_sizes hsplit vsplit
dsplit tensor_split chunk unsafe_chunk unbind unfold diagonal linalg_diagonal alias detach set lift
lift_fresh _conj conj _neg_view view_as_real view_as_complex real imag atleast_1d atleast_2d
atleast_3d _fw_primal _make_dual _unpack_dual _add_batch_dim _remove_batch_dim _propagate_xla_data
_shape_as_tensor
""",
    "allocation": """
empty empty_like empty_strided empty_permuted empty_quantized _empty_affine_quantized
_empty_per_channel_affine_quantized _efficientzerotensor zeros zeros_like ones ones_like full
full_like new_empty new_empty_strided new_zeros new_ones new_full _new_zeros_with_same_feature_meta
resize resize_as _resize_output scalar_tensor from_file arange range _dim_arange linspace logspace
eye tril_indices triu_indices rand rand_like randn randn_like randint randint_like randperm
hann_window hamming_window blackman_window bartlett_window kaiser_window fft_fftfreq fft_rfftfreq
vander linalg_vander
""",
    # Work along a dimension: sums, norms, distances, losses, scans, sorts, Fourier transforms.
    "reduction": """
sum nansum sum_to_size mean nanmean prod std std_mean var var_mean median nanmedian mode quantile
nanquantile max min amax amin aminmax _aminmax argmax argmin all any count_nonzero logsumexp
special_logsumexp trace norm native_norm frobenius_norm nuclear_norm linalg_norm linalg_vector_norm
linalg_matrix_norm linalg__powsum linalg_vecdot dist cdist _cdist_forward _euclidean_dist pdist
_pdist_forward pairwise_distance cosine_similarity cov corrcoef equal allclose _is_all_true
_is_any_true hash_tensor cumsum cumprod cummax cummin _cummax_helper _cummin_helper logcumsumexp
_logcumsumexp cumulative_trapezoid trapezoid trapz diff gradient sort argsort msort topk kthvalue
multinomial unique_dim unique_consecutive unique_dim_consecutive _unique _unique2 bincount histc
histogram histogramdd _histogramdd_bin_edges _histogramdd_from_bin_cts _histogramdd_from_bin_tensors
segment_reduce choose_qparams_optimized _choose_qparams_per_tensor kl_div binary_cross_entropy
binary_cross_entropy_with_logits nll_loss_nd nll_loss2d nll_loss_forward nll_loss2d_forward
multilabel_margin_loss_forward _fft_r2c _fft_c2r _fft_c2c fft_fft fft_fft2 fft_fftn fft_ifft
fft_ifft2 fft_ifftn fft_rfft fft_rfft2 fft_rfftn fft_irfft fft_irfft2 fft_irfftn fft_hfft fft_hfft2
fft_hfftn fft_ihfft fft_ihfft2 fft_ihfftn stft istft
quantized_decomposed:: choose_qparams choose_qparams_symmetric choose_qparams_per_token
choose_qparams_per_token_asymmetric
""",
    # Elements found or placed by an index, a mask or a search.
    "indexing": """
index _unsafe_index index_select index_put _index_put_impl _unsafe_index_put index_add index_fill
index_copy index_reduce _unsafe_masked_index _unsafe_masked_index_put_accumulate gather scatter
scatter_add scatter_reduce take take_along_dim put masked_select masked_scatter nonzero
nonzero_numpy nonzero_static argwhere searchsorted bucketize isin one_hot combinations
cartesian_prod embedding embedding_dense_backward embedding_bag _embedding_bag
_embedding_bag_forward_only _rowwise_prune
quantized:: embedding_byte embedding_4bit embedding_bag_byte embedding_bag_4bit
embedding_bag_byte_rowwise_offsets embedding_bag_4bit_rowwise_offsets
embedding_bag_2bit_rowwise_offsets
torchvision:: nms
""",
}
BLOCKS = tuple(_NAMES.items())


def full_names(block: str) -> tuple[str, ...]:
    """Return the names of one block, each with its namespace."""
    names, namespace = [], "aten::"
    for word in block.split():
        if word.endswith("::"):
            namespace = word
        else:
            names.append(f"{namespace}{word}")
    return tuple(names)
