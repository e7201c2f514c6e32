#![allow(missing_docs, clippy::all, clippy::print_stdout)]
use longstrand_kernels::*; use longstrand_kernels::simd::Level; use std::time::Instant;
fn best(mut f: impl FnMut()) -> f64 { f(); (0..25).map(|_| { let t=Instant::now(); f(); t.elapsed().as_secs_f64() }).fold(1e9, f64::min) }
fn v(n: usize) -> Vec<f32> { (0..n).map(|i| ((i*2654435761usize>>7)&0xffff) as f32/32768.0-1.0).collect() }
fn main() {
  let threads: usize = std::env::args().nth(1).map_or(1, |s| s.parse().unwrap());
  rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
  let level = Level::widest();
    for (h,p,n) in [(24,64,128),(8,64,64)] {
      let l=2048; let stride = 2*h*p+2*n+h;
      let buf=v(l*stride); let mut state=vec![0.0;h*n*p]; let mut y=vec![0.0;l*h*p];
      let a=vec![-0.5f32;h]; let d=vec![1.0f32;h]; let bias=vec![-3.0f32;h];
      let params=ssd::Params{heads:h,head_dim:p,states:n,groups:1,a:&a,d:&d,dt_bias:&bias,dt_limit:(0.0,f64::INFINITY)};
      let inputs=ssd::Inputs{x:Rows::columns(&buf,stride,h*p,h*p),b:Rows::columns(&buf,stride,2*h*p,n),c:Rows::columns(&buf,stride,2*h*p+n,n),dt:Rows::columns(&buf,stride,2*h*p+2*n,h)};
      let t=best(||ssd::cpu::forward(level,&params,Direction::Forward,0,&inputs,&mut state,Some(ssd::Output{y:RowsMut::new(&mut y,h*p),write:Write::Set})));
      let t2=best(||ssd::cpu::forward(level,&params,Direction::Forward,0,&inputs,&mut state,None));
      let fl=4.0*(l*h*n*p) as f64;
      println!("{level} ssd H{h} P{p} N{n}: {:.0} ns/pos, {:.1} GFLOP/s of 4NP; state only {:.0} ns/pos {:.1}", t/l as f64*1e9, fl/t/1e9, t2/l as f64*1e9, fl/2.0/t2/1e9);
    }
}
